//! Tokens to trees, by recursive descent.
//!
//! ```text
//! or         = and { OR and }
//! and        = not { AND not }
//! not        = NOT comparison | comparison
//! comparison = primary [ comparator operand | BETWEEN operand AND operand | IN ( operands ) ]
//! primary    = ( or ) | operand
//! operand    = ( operand ) | name ( operands ) | path | :value
//! path       = name { . name | [ index ] }
//! update     = section { section }, section = SET | REMOVE | ADD | DELETE and its actions
//! ```
//!
//! Only the syntax is judged here; what names and values mean is `bind`'s.

use super::ast::{Comparator, RawAction, RawElement, RawName, RawPath, RawSection, Tree};
use super::lex::{Kind, Token, tokens};

/// A message in the service's words.
pub(super) type SyntaxError = String;

/// What was parsed, and whether it has parentheses around parentheses.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    pub(super) tree: T,
    pub(super) redundant_parentheses: bool,
}

pub(super) fn condition(source: &str) -> Result<Parsed<Tree>, SyntaxError> {
    parse(source, |parser| {
        let tree = parser.or()?;
        parser.require_condition(&tree)?;
        Ok(tree)
    })
}

pub(super) fn projection(source: &str) -> Result<Parsed<Vec<RawPath>>, SyntaxError> {
    parse(source, |parser| parser.separated(Parser::path))
}

pub(super) fn update(source: &str) -> Result<Parsed<Vec<RawSection>>, SyntaxError> {
    parse(source, |parser| {
        let mut sections = vec![parser.section()?];
        while parser.peek().kind != Kind::End {
            sections.push(parser.section()?);
        }
        Ok(sections)
    })
}

fn parse<'a, T>(
    source: &'a str,
    rule: impl FnOnce(&mut Parser<'a>) -> Result<T, SyntaxError>,
) -> Result<Parsed<T>, SyntaxError> {
    if source.trim().is_empty() {
        return Err("The expression can not be empty;".to_owned());
    }
    if source.len() > MAX_SIZE {
        return Err(format!(
            "Expression size has exceeded the maximum allowed size; expression size: {}",
            source.len()
        ));
    }
    let mut parser = Parser {
        source,
        tokens: tokens(source),
        position: 0,
        depth: 0,
        operators: 0,
        redundant_parentheses: false,
    };
    let tree = rule(&mut parser)?;
    if parser.peek().kind != Kind::End {
        return Err(parser.unexpected());
    }
    Ok(Parsed {
        tree,
        redundant_parentheses: parser.redundant_parentheses,
    })
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token<'a>>,
    /// Never beyond the last token, which is the end.
    position: usize,
    depth: usize,
    /// Operators and functions so far.
    operators: usize,
    redundant_parentheses: bool,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Result<Tree, SyntaxError> {
        let first = self.and()?;
        if !self.at_keyword("OR") {
            return Ok(first);
        }
        self.require_condition(&first)?;
        let mut terms = vec![first];
        while self.eat_keyword("OR") {
            self.count_operator()?;
            let term = self.and()?;
            self.require_condition(&term)?;
            terms.push(term);
        }
        Ok(Tree::Or(terms))
    }

    fn and(&mut self) -> Result<Tree, SyntaxError> {
        let first = self.not()?;
        if !self.at_keyword("AND") {
            return Ok(first);
        }
        self.require_condition(&first)?;
        let mut terms = vec![first];
        while self.eat_keyword("AND") {
            self.count_operator()?;
            let term = self.not()?;
            self.require_condition(&term)?;
            terms.push(term);
        }
        Ok(Tree::And(terms))
    }

    fn not(&mut self) -> Result<Tree, SyntaxError> {
        if !self.eat_keyword("NOT") {
            return self.comparison();
        }
        self.count_operator()?;
        let inner = self.comparison()?;
        self.require_condition(&inner)?;
        Ok(Tree::Not(Box::new(inner)))
    }

    fn comparison(&mut self) -> Result<Tree, SyntaxError> {
        let left = self.primary()?;
        let comparator = Comparator::ALL
            .into_iter()
            .find(|comparator| self.at_symbol(comparator.symbol()));
        let operator = comparator.is_some() || self.at_keyword("BETWEEN") || self.at_keyword("IN");
        if !operator {
            return Ok(left);
        }
        if !left.is_operand() {
            return Err(self.unexpected());
        }
        self.count_operator()?;
        let left = Box::new(left);
        if let Some(comparator) = comparator {
            self.advance();
            return Ok(Tree::Compare(comparator, left, Box::new(self.operand()?)));
        }
        if self.eat_keyword("BETWEEN") {
            let low = self.operand()?;
            if !self.eat_keyword("AND") {
                return Err(self.unexpected());
            }
            let high = self.operand()?;
            return Ok(Tree::Between(left, Box::new(low), Box::new(high)));
        }
        self.advance();
        self.expect("(")?;
        let choices = self.separated(Self::operand)?;
        self.expect(")")?;
        if choices.len() > MAX_CHOICES {
            return Err(format!(
                "The IN operator is provided with too many operands; number of operands: {}",
                choices.len()
            ));
        }
        Ok(Tree::In(left, choices))
    }

    fn primary(&mut self) -> Result<Tree, SyntaxError> {
        if self.at_symbol("(") {
            self.parenthesised(Self::or)
        } else {
            self.operand()
        }
    }

    fn operand(&mut self) -> Result<Tree, SyntaxError> {
        if self.at_symbol("(") {
            return self.parenthesised(Self::operand);
        }
        let token = self.peek();
        match token.kind {
            Kind::ValuePlaceholder => {
                self.advance();
                Ok(Tree::Value(token.text.to_owned()))
            }
            Kind::Identifier if !is_operator(token.text) && self.next_is_call() => {
                self.advance();
                self.count_operator()?;
                self.expect("(")?;
                self.enter()?;
                let arguments = self.separated(Self::operand)?;
                self.depth -= 1;
                self.expect(")")?;
                Ok(Tree::Call(token.text.to_owned(), arguments))
            }
            _ => Ok(Tree::Path(self.path()?)),
        }
    }

    /// What the rule finds between parentheses; notes if that is all in parentheses once more.
    fn parenthesised(
        &mut self,
        rule: fn(&mut Self) -> Result<Tree, SyntaxError>,
    ) -> Result<Tree, SyntaxError> {
        self.expect("(")?;
        self.enter()?;
        let inner_opens = self.at_symbol("(").then_some(self.position);
        let tree = rule(self)?;
        if let Some(opening) = inner_opens {
            self.redundant_parentheses |= self.closes_before_here(opening);
        }
        self.expect(")")?;
        self.depth -= 1;
        Ok(tree)
    }

    /// Whether the parenthesis opened at a position is closed by the token before this one.
    fn closes_before_here(&self, opening: usize) -> bool {
        let mut depth = 0_usize;
        for (index, token) in self.tokens[opening..self.position].iter().enumerate() {
            match (token.kind, token.text) {
                (Kind::Symbol, "(") => depth += 1,
                (Kind::Symbol, ")") => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return opening + index + 1 == self.position;
            }
        }
        false
    }

    fn path(&mut self) -> Result<RawPath, SyntaxError> {
        let head = self.name()?;
        let mut rest = Vec::new();
        loop {
            if self.eat_symbol(".") {
                rest.push(RawElement::Name(self.name()?));
            } else if self.eat_symbol("[") {
                let index = self.peek();
                if index.kind != Kind::Number {
                    return Err(self.unexpected());
                }
                self.advance();
                self.expect("]")?;
                rest.push(RawElement::Index(index.text.to_owned()));
            } else {
                return Ok(RawPath { head, rest });
            }
        }
    }

    fn name(&mut self) -> Result<RawName, SyntaxError> {
        let token = self.peek();
        let name = match token.kind {
            Kind::Identifier if !is_operator(token.text) => RawName::Literal(token.text.to_owned()),
            Kind::NamePlaceholder => RawName::Placeholder(token.text.to_owned()),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(name)
    }

    fn section(&mut self) -> Result<RawSection, SyntaxError> {
        let keyword = SECTIONS
            .into_iter()
            .find(|keyword| self.eat_keyword(keyword))
            .ok_or_else(|| self.unexpected())?;
        let action = match keyword {
            "SET" => Self::set,
            "REMOVE" => |parser: &mut Self| Ok(RawAction::Remove(parser.update_path()?)),
            "ADD" => |parser: &mut Self| Ok(RawAction::Add(parser.update_path()?, parser.value()?)),
            _ => |parser: &mut Self| Ok(RawAction::Delete(parser.update_path()?, parser.value()?)),
        };
        let actions = self.separated(action)?;
        Ok(RawSection { keyword, actions })
    }

    fn set(&mut self) -> Result<RawAction, SyntaxError> {
        let path = self.update_path()?;
        self.expect("=")?;
        Ok(RawAction::Set(path, self.set_value()?))
    }

    fn set_value(&mut self) -> Result<Tree, SyntaxError> {
        let left = if self.at_symbol("(") {
            self.parenthesised(Self::set_value)?
        } else {
            self.operand()?
        };
        if !left.is_operand() {
            return Ok(left);
        }
        if self.at_symbol("+") || self.at_symbol("-") {
            self.count_operator()?;
        }
        if self.eat_symbol("+") {
            return Ok(Tree::Plus(Box::new(left), Box::new(self.operand()?)));
        }
        if self.eat_symbol("-") {
            return Ok(Tree::Minus(Box::new(left), Box::new(self.operand()?)));
        }
        Ok(left)
    }

    /// A path that does not begin with the keyword of a section.
    fn update_path(&mut self) -> Result<RawPath, SyntaxError> {
        if SECTIONS.iter().any(|keyword| self.at_keyword(keyword)) {
            return Err(self.unexpected());
        }
        self.path()
    }

    fn value(&mut self) -> Result<String, SyntaxError> {
        let token = self.peek();
        if token.kind != Kind::ValuePlaceholder {
            return Err(self.unexpected());
        }
        self.advance();
        Ok(token.text.to_owned())
    }

    fn separated<T>(
        &mut self,
        rule: impl Fn(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let mut all = vec![rule(self)?];
        while self.eat_symbol(",") {
            all.push(rule(self)?);
        }
        Ok(all)
    }

    fn require_condition(&self, tree: &Tree) -> Result<(), SyntaxError> {
        if tree.is_condition() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Bounds the recursion: an expression can be hostile, the stack is small.
    fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(format!(
                "The expression is nested too deeply; maximum depth: {MAX_NESTING}"
            ));
        }
        Ok(())
    }

    fn count_operator(&mut self) -> Result<(), SyntaxError> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(format!(
                "The expression contains too many operators; operator count: {}",
                self.operators
            ));
        }
        Ok(())
    }

    fn peek(&self) -> Token<'a> {
        self.tokens[self.position]
    }

    fn advance(&mut self) {
        self.position = (self.position + 1).min(self.tokens.len() - 1);
    }

    fn at_symbol(&self, text: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Symbol && token.text == text
    }

    fn eat_symbol(&mut self, text: &str) -> bool {
        let found = self.at_symbol(text);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.eat_symbol(symbol) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn at_keyword(&self, keyword: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Identifier && token.text.eq_ignore_ascii_case(keyword)
    }

    fn eat_keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(keyword);
        if found {
            self.advance();
        }
        found
    }

    fn next_is_call(&self) -> bool {
        let next = self.tokens.get(self.position + 1);
        next.is_some_and(|token| token.kind == Kind::Symbol && token.text == "(")
    }

    /// The error for the token that stands here: it and its neighbours, as written.
    fn unexpected(&self) -> SyntaxError {
        let token = self.peek();
        let before = self.position.saturating_sub(1);
        let after = (self.position + 1).min(self.tokens.len() - 1);
        let near = &self.source[self.tokens[before].start..self.tokens[after].end()];
        format!("Syntax error; token: \"{}\", near: \"{near}\"", token.text)
    }
}

fn is_operator(text: &str) -> bool {
    OPERATORS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

const OPERATORS: [&str; 5] = ["AND", "OR", "NOT", "BETWEEN", "IN"];
const SECTIONS: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];
/// The service's limit on the length of an expression, in bytes.
const MAX_SIZE: usize = 4096;
/// The service's limit on operators and functions in an expression.
const MAX_OPERATORS: usize = 300;
/// The service's limit on the operands between the parentheses of IN.
const MAX_CHOICES: usize = 100;
/// Parentheses and calls within each other: far more than people write, far less than the stack.
const MAX_NESTING: usize = 100;
