//! Ids as the services form them, from an [`Env`]'s randomness: equal seeds give equal ids.

use shardwise_env::Env;
use uuid::Builder;

/// A version 4 UUID, as request ids and the ids of tables are.
pub(crate) fn uuid(random: &Env) -> String {
    let bytes = random.random_u128().to_be_bytes();
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// Letters and digits, as in a stream id.
pub(crate) fn alphanumeric(random: &Env, length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let letter = |_| {
        let index = usize::try_from(random.random_below(36)).unwrap_or_default();
        char::from(ALPHABET[index])
    };
    (0..length).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_two_seeds_differ() {
        let env = Env::system();
        let (a, b, c) = (env.with_seed(1), env.with_seed(1), env.with_seed(2));
        assert_eq!(uuid(&a), uuid(&b));
        assert_eq!(alphanumeric(&a, 20), alphanumeric(&b, 20));
        assert_ne!(uuid(&a), uuid(&c));
    }

    #[test]
    fn a_request_id_is_a_version_4_uuid() {
        let random = Env::system().with_seed(7);
        for _ in 0..100 {
            let id = uuid(&random);
            assert_eq!(id.len(), 36);
            assert_eq!(&id[14..15], "4");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }
}
