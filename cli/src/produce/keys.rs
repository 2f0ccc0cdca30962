//! Which partition key a line gets.

use std::num::NonZeroUsize;

use shardwise_env::Env;
use shardwise_producer::PartitionKey;

/// Where partition keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keys {
    /// The same for all.
    Fixed(PartitionKey),
    /// A field of the line, counted from 1.
    Field { number: NonZeroUsize, delimiter: u8 },
    /// A new one for each: records spread evenly over the shards.
    Random,
}

impl Keys {
    /// The key of a line, or why it has none.
    pub(super) fn of(&self, line: &[u8], env: &Env) -> Result<PartitionKey, String> {
        match self {
            Self::Fixed(key) => Ok(key.clone()),
            Self::Field { number, delimiter } => {
                let field = line
                    .split(|byte| byte == delimiter)
                    .nth(number.get() - 1)
                    .ok_or_else(|| format!("it has no field {number}"))?;
                let field = std::str::from_utf8(field)
                    .map_err(|_| format!("its field {number} is not UTF-8"))?;
                field
                    .parse()
                    .map_err(|error| format!("field {number}: {error}"))
            }
            Self::Random => PartitionKey::try_from(format!("{:032x}", env.random_u128()))
                .map_err(|error| error.to_string()),
        }
    }
}

/// One ASCII character, or `\t`, which shells make hard to type.
pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("expected one ASCII character, or \\t".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: usize, line: &[u8]) -> Result<PartitionKey, String> {
        let number = NonZeroUsize::new(number).unwrap();
        let keys = Keys::Field {
            number,
            delimiter: b',',
        };
        keys.of(line, &Env::system())
    }

    #[test]
    fn a_field_is_the_key() {
        assert_eq!(field(1, b"a,b,c").unwrap().as_str(), "a");
        assert_eq!(field(3, b"a,b,c").unwrap().as_str(), "c");
        assert_eq!(field(1, b"whole").unwrap().as_str(), "whole");
    }

    #[test]
    fn a_line_without_a_usable_field_has_no_key() {
        for (number, line) in [(4, &b"a,b,c"[..]), (2, b"a,,c"), (1, b""), (1, b"\xff,b")] {
            let reason = field(number, line).unwrap_err();
            assert!(reason.contains(&format!("field {number}")), "{reason}");
        }
        assert!(field(1, &[b'a'; 257]).is_err());
    }

    #[test]
    fn random_keys_differ() {
        let env = Env::system();
        let key = || Keys::Random.of(b"same", &env).unwrap();
        assert_ne!(key(), key());
    }
}
