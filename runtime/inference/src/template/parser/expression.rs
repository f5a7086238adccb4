//! Reads expressions, with the precedences of Jinja2 (`parser.py` of version 3.1): from the loosest, the choice `a if b else c`, `or`,
//! `and`, `not`, comparisons, `+ -`, `~`, `* / // %`, `**`, and then what follows a value.

use super::{Parsed, SyntaxError, wrong};
use crate::template::{
    PARSE_DEPTH_MAX,
    lexer::Token,
    syntax::{Access, Arguments, Comparison, Expression, Operator},
};
use std::vec::IntoIter;

/// Arguments of one call: they are held while it runs, however deep it goes.
const ARGUMENTS_MAX: usize = 64;

/// The tokens of one print or tag.
pub(super) struct Tokens<'s> {
    rest: std::iter::Peekable<IntoIter<Token<'s>>>,
    depth: usize,
}

impl<'s> Tokens<'s> {
    pub(super) fn new(tokens: Vec<Token<'s>>) -> Self {
        Self { rest: tokens.into_iter().peekable(), depth: 0 }
    }

    pub(super) fn peek(&mut self) -> Option<&Token<'s>> {
        self.rest.peek()
    }

    pub(super) fn is_empty(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Nothing may follow.
    pub(super) fn finish(mut self) -> Parsed<()> {
        match self.rest.next() {
            None => Ok(()),
            Some(token) => wrong(format!("{} is not expected there", shown(&token))),
        }
    }

    pub(super) fn is_sign(&mut self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(next)) if *next == sign)
    }

    pub(super) fn accept(&mut self, sign: &str) -> bool {
        self.rest.next_if(|token| matches!(token, Token::Sign(next) if *next == sign)).is_some()
    }

    pub(super) fn sign(&mut self, sign: &str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { Err(self.expected(sign)) }
    }

    pub(super) fn is_word(&mut self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(name)) if *name == word)
    }

    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        self.rest.next_if(|token| matches!(token, Token::Name(name) if *name == word)).is_some()
    }

    pub(super) fn word(&mut self, word: &str) -> Parsed<()> {
        if self.accept_word(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    pub(super) fn name(&mut self) -> Parsed<&'s str> {
        match self.rest.next() {
            Some(Token::Name(name)) => Ok(name),
            Some(token) => wrong(format!("a name is expected, not {}", shown(&token))),
            None => wrong("a name is missing"),
        }
    }

    fn expected(&mut self, expected: &str) -> SyntaxError {
        SyntaxError(match self.peek() {
            Some(token) => format!("{expected} is expected, not {}", shown(token)),
            None => format!("{expected} is missing"),
        })
    }

    /// Reads what stands inside of something.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > PARSE_DEPTH_MAX {
            return wrong(format!("more than {PARSE_DEPTH_MAX} expressions stand inside each other"));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// One expression, or a list of several without brackets.
    pub(super) fn several(&mut self) -> Parsed<Expression> {
        self.listed(Self::expression)
    }

    /// The same where an `if` begins something else.
    pub(super) fn several_without_choice(&mut self) -> Parsed<Expression> {
        self.listed(Self::or)
    }

    fn listed(&mut self, mut read: impl FnMut(&mut Self) -> Parsed<Expression>) -> Parsed<Expression> {
        let first = read(self)?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let mut list = vec![first];
        while self.accept(",") {
            if self.is_empty() || self.is_sign(")") {
                break;
            }
            list.push(read(self)?);
        }
        Ok(Expression::List(list))
    }

    pub(super) fn expression(&mut self) -> Parsed<Expression> {
        self.deeper(|tokens| {
            let value = tokens.or()?;
            if !tokens.accept_word("if") {
                return Ok(value);
            }
            let test = tokens.or()?;
            let other = if tokens.accept_word("else") { Some(tokens.expression()?) } else { None };
            Ok(Expression::Choice(Box::new((value, test, other))))
        })
    }

    fn or(&mut self) -> Parsed<Expression> {
        let first = self.and()?;
        let mut all = vec![first];
        while self.accept_word("or") {
            all.push(self.and()?);
        }
        Ok(alone_or(all, Expression::Or))
    }

    fn and(&mut self) -> Parsed<Expression> {
        let first = self.not()?;
        let mut all = vec![first];
        while self.accept_word("and") {
            all.push(self.not()?);
        }
        Ok(alone_or(all, Expression::And))
    }

    fn not(&mut self) -> Parsed<Expression> {
        match self.accept_word("not") {
            true => self.deeper(|tokens| Ok(Expression::Not(Box::new(tokens.not()?)))),
            false => self.comparison(),
        }
    }

    fn comparison(&mut self) -> Parsed<Expression> {
        let first = self.sum()?;
        let mut others = Vec::new();
        loop {
            let operator = match self.peek() {
                Some(Token::Sign("==")) => Comparison::Equal,
                Some(Token::Sign("!=")) => Comparison::NotEqual,
                Some(Token::Sign("<")) => Comparison::Less,
                Some(Token::Sign("<=")) => Comparison::LessOrEqual,
                Some(Token::Sign(">")) => Comparison::Greater,
                Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
                Some(Token::Name("in")) => Comparison::In,
                Some(Token::Name("not")) => Comparison::NotIn,
                _ => break,
            };
            self.rest.next();
            if operator == Comparison::NotIn {
                self.word("in")?;
            }
            others.push((operator, self.sum()?));
        }
        match others.is_empty() {
            true => Ok(first),
            false => Ok(Expression::Compare(Box::new(first), others)),
        }
    }

    fn sum(&mut self) -> Parsed<Expression> {
        self.level(&[("+", Operator::Add), ("-", Operator::Subtract)], Self::joined)
    }

    fn joined(&mut self) -> Parsed<Expression> {
        self.level(&[("~", Operator::Join)], Self::product)
    }

    fn product(&mut self) -> Parsed<Expression> {
        let signs = [
            ("*", Operator::Multiply),
            ("/", Operator::Divide),
            ("//", Operator::FloorDivide),
            ("%", Operator::Remainder),
        ];
        self.level(&signs, |tokens| tokens.level(&[("**", Operator::Power)], |tokens| tokens.signed(true)))
    }

    fn level(
        &mut self,
        signs: &[(&str, Operator)],
        read: impl Fn(&mut Self) -> Parsed<Expression>,
    ) -> Parsed<Expression> {
        let first = read(self)?;
        let mut others = Vec::new();
        while let Some((_, operator)) = signs.iter().find(|(sign, _)| self.accept(sign)) {
            others.push((*operator, read(self)?));
        }
        match others.is_empty() {
            true => Ok(first),
            false => Ok(Expression::Arithmetic(Box::new(first), others)),
        }
    }

    /// A sign binds looser than `.` and `[]`, and tighter than a filter.
    fn signed(&mut self, with_filters: bool) -> Parsed<Expression> {
        let value = match self.peek() {
            Some(Token::Sign("-")) => {
                self.rest.next();
                self.deeper(|tokens| Ok(Expression::Minus(Box::new(tokens.signed(false)?))))?
            }
            Some(Token::Sign("+")) => {
                self.rest.next();
                self.deeper(|tokens| Ok(Expression::Plus(Box::new(tokens.signed(false)?))))?
            }
            _ => {
                let value = self.primary()?;
                let followed = self.followed()?;
                chain(value, followed)
            }
        };
        match with_filters {
            true => {
                let filters = self.filtered()?;
                Ok(chain(value, filters))
            }
            false => Ok(value),
        }
    }

    fn primary(&mut self) -> Parsed<Expression> {
        let Some(token) = self.rest.next() else { return wrong("a value is missing") };
        Ok(match token {
            Token::Name("true" | "True") => Expression::Bool(true),
            Token::Name("false" | "False") => Expression::Bool(false),
            Token::Name("none" | "None") => Expression::None,
            Token::Name(word @ ("if" | "else" | "in" | "is" | "and" | "or" | "not")) => {
                return wrong(format!("a value is expected, not {word}"));
            }
            Token::Name(name) => Expression::Name(name.into()),
            Token::Int(number) => Expression::Int(number),
            Token::Float(number) => Expression::Float(number),
            Token::Text(text) => {
                let mut text = String::from(text);
                while let Some(Token::Text(more)) = self.rest.next_if(|token| matches!(token, Token::Text(_))) {
                    text.push_str(&more);
                }
                Expression::Text(text.into())
            }
            Token::Sign("(") => {
                if self.accept(")") {
                    return Ok(Expression::List(Vec::new()));
                }
                let value = self.several()?;
                self.sign(")")?;
                value
            }
            Token::Sign("[") => Expression::List(self.separated("]", Self::expression)?),
            Token::Sign("{") => Expression::Map(self.separated("}", |tokens| {
                let key = tokens.expression()?;
                tokens.sign(":")?;
                Ok((key, tokens.expression()?))
            })?),
            token @ Token::Sign(_) => return wrong(format!("a value is expected, not {}", shown(&token))),
        })
    }

    /// Several of something between commas, up to a sign.
    fn separated<T>(&mut self, end: &str, mut read: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut list = Vec::new();
        while !self.accept(end) {
            list.push(read(self)?);
            if !self.accept(",") {
                self.sign(end)?;
                break;
            }
        }
        Ok(list)
    }

    /// `.name`, `[index]` and calls.
    fn followed(&mut self) -> Parsed<Vec<Access>> {
        let mut followed = Vec::new();
        loop {
            if self.accept(".") {
                followed.push(match self.rest.next() {
                    Some(Token::Name(name)) if self.accept("(") => Access::Method(name.into(), self.arguments()?),
                    Some(Token::Name(name)) => Access::Attribute(name.into()),
                    Some(Token::Int(index)) => Access::Item(Box::new(Expression::Int(index))),
                    _ => return wrong("a name is missing behind a dot"),
                });
            } else if self.accept("[") {
                followed.push(self.subscript()?);
            } else if self.accept("(") {
                followed.push(Access::Call(self.arguments()?));
            } else {
                return Ok(followed);
            }
        }
    }

    fn subscript(&mut self) -> Parsed<Access> {
        let mut parts: [Option<Expression>; 3] = [None, None, None];
        let mut colons = 0;
        while !self.accept("]") {
            if self.accept(":") {
                colons += 1;
                if colons > 2 {
                    return wrong("a slice has more than two colons");
                }
            } else if parts[colons].is_none() {
                parts[colons] = Some(self.expression()?);
            } else {
                return Err(self.expected("]"));
            }
        }
        match (colons, &mut parts) {
            (0, [Some(_), ..]) => Ok(Access::Item(Box::new(parts[0].take().unwrap_or(Expression::None)))),
            (0, _) => wrong("an index is missing"),
            _ => Ok(Access::Slice(Box::new(parts))),
        }
    }

    /// Up to the bracket that closes them.
    fn arguments(&mut self) -> Parsed<Arguments> {
        let mut arguments = Arguments::default();
        while !self.accept(")") {
            if self.is_sign("*") || self.is_sign("**") {
                return wrong("chat templates hand on no lists of arguments");
            }
            let value = self.expression()?;
            match value {
                Expression::Name(name) if self.accept("=") => arguments.named.push((name, self.expression()?)),
                _ if !arguments.named.is_empty() => return wrong("an argument without a name follows one with a name"),
                value => arguments.positional.push(value),
            }
            if arguments.positional.len() + arguments.named.len() > ARGUMENTS_MAX {
                return wrong(format!("a call has more than {ARGUMENTS_MAX} arguments"));
            }
            if !self.accept(",") {
                self.sign(")")?;
                break;
            }
        }
        Ok(arguments)
    }

    /// Filters, tests, and calls of what they give.
    fn filtered(&mut self) -> Parsed<Vec<Access>> {
        let mut filters = Vec::new();
        loop {
            if self.accept("|") {
                filters.push(self.filter()?);
            } else if self.accept_word("is") {
                filters.push(self.test()?);
            } else {
                return Ok(filters);
            }
        }
    }

    pub(super) fn filter(&mut self) -> Parsed<Access> {
        let name = self.name()?.into();
        let arguments = if self.accept("(") { self.arguments()? } else { Arguments::default() };
        Ok(Access::Filter(name, arguments))
    }

    fn test(&mut self) -> Parsed<Access> {
        let negated = self.accept_word("not");
        let name = self.name()?.into();
        let arguments = if self.accept("(") {
            self.arguments()?
        } else if self.has_bare_argument() {
            let value = self.deeper(Self::primary)?;
            let followed = self.followed()?;
            Arguments { positional: vec![chain(value, followed)], named: Vec::new() }
        } else {
            Arguments::default()
        };
        Ok(if negated { Access::IsNot(name, arguments) } else { Access::Is(name, arguments) })
    }

    /// Whether a test's argument follows without brackets.
    fn has_bare_argument(&mut self) -> bool {
        match self.peek() {
            Some(Token::Name(name)) => {
                !matches!(*name, "else" | "or" | "and" | "is" | "if" | "in" | "not" | "recursive")
            }
            Some(Token::Text(_) | Token::Int(_) | Token::Float(_) | Token::Sign("[" | "{")) => true,
            _ => false,
        }
    }
}

fn chain(value: Expression, followed: Vec<Access>) -> Expression {
    match (value, followed) {
        (value, followed) if followed.is_empty() => value,
        (Expression::Chain(value, mut before), followed) => {
            before.extend(followed);
            Expression::Chain(value, before)
        }
        (value, followed) => Expression::Chain(Box::new(value), followed),
    }
}

fn alone_or(mut all: Vec<Expression>, several: impl FnOnce(Vec<Expression>) -> Expression) -> Expression {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            several(all)
        }
    }
}

fn shown(token: &Token<'_>) -> String {
    match token {
        Token::Name(name) => (*name).to_owned(),
        Token::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        Token::Int(number) => number.to_string(),
        Token::Float(number) => number.to_string(),
        Token::Sign(sign) => (*sign).to_owned(),
    }
}
