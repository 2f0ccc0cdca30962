//! Expressions as tokens.
//!
//! Never fails: what no expression may hold becomes a token of its own that the parser does not
//! accept, so that a syntax error is always reported at the first token that does not fit.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a function or an attribute name.
    Identifier,
    /// `#name`
    NamePlaceholder,
    /// `:value`
    ValuePlaceholder,
    /// The digits of a list index.
    Number,
    /// Punctuation or an operator.
    Symbol,
    /// Anything else.
    Unknown,
    /// The end of the expression.
    End,
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl Token<'_> {
    pub(super) fn end(&self) -> usize {
        match self.kind {
            Kind::End => self.start,
            _ => self.start + self.text.len(),
        }
    }
}

/// The tokens of an expression, the last of them [`Kind::End`].
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = source[start..].chars().next() {
        let rest = &source[start..];
        if matches!(first, ' ' | '\t' | '\r' | '\n') {
            start += 1;
            continue;
        }
        let (kind, len) = match first {
            'a'..='z' | 'A'..='Z' => (Kind::Identifier, word(rest)),
            '0'..='9' => (Kind::Number, run(rest, |byte| byte.is_ascii_digit())),
            '#' if word(&rest[1..]) > 0 => (Kind::NamePlaceholder, 1 + word(&rest[1..])),
            ':' if word(&rest[1..]) > 0 => (Kind::ValuePlaceholder, 1 + word(&rest[1..])),
            '<' | '>' => (Kind::Symbol, comparator(rest)),
            '=' | '(' | ')' | '[' | ']' | ',' | '.' | '+' | '-' => (Kind::Symbol, 1),
            other => (Kind::Unknown, other.len_utf8()),
        };
        tokens.push(Token {
            kind,
            text: &rest[..len],
            start,
        });
        start += len;
    }
    tokens.push(Token {
        kind: Kind::End,
        text: "<EOF>",
        start: tokens.last().map_or(0, Token::end),
    });
    tokens
}

fn comparator(rest: &str) -> usize {
    let long = ["<>", "<=", ">="];
    if long.iter().any(|text| rest.starts_with(text)) {
        2
    } else {
        1
    }
}

fn word(text: &str) -> usize {
    run(text, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn run(text: &str, accepts: fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| accepts(*byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_cut_where_the_service_cuts_them() {
        let texts = |source| {
            tokens(source)
                .iter()
                .map(|token| token.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            texts("a.#b[0]<>:c AND size(d)>=1e"),
            [
                "a", ".", "#b", "[", "0", "]", "<>", ":c", "AND", "size", "(", "d", ")", ">=", "1",
                "e", "<EOF>"
            ]
        );
        assert_eq!(texts("_id é # "), ["_", "id", "é", "#", "<EOF>"]);
    }
}
