//! Reads a template's statements: Jinja2's, less what needs other templates (`include`, `import`, `extends`, `block`) and what
//! no known chat template has (`call`, `do`, `autoescape`).

mod expression;

use super::{
    PARSE_DEPTH_MAX,
    lexer::{Lexer, Piece},
    syntax::{Access, Block, Expression, For, Macro, Node, Statement, Target},
};
use expression::Tokens;

/// Why a template is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError(pub(super) String);

pub(super) type Parsed<T> = Result<T, SyntaxError>;

pub(super) fn wrong<T>(why: impl Into<String>) -> Parsed<T> {
    Err(SyntaxError(why.into()))
}

/// Reads a template whose line breaks are `\n` alone. The error names its line.
pub(super) fn parse(source: &str) -> Parsed<Block> {
    let mut parser = Parser { lexer: Lexer::new(source), depth: 0, loops: 0 };
    let parsed = parser.block(&[], "");
    match parsed {
        Ok((block, _)) => Ok(block),
        Err(SyntaxError(why)) => wrong(format!("{why} (line {})", parser.lexer.line())),
    }
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    /// Blocks inside each other.
    depth: usize,
    /// Of these, loops that a `break` here would end.
    loops: usize,
}

/// A tag that ended a block: its name, and its other tokens.
type End<'s> = (&'s str, Tokens<'s>);

impl<'s> Parser<'s> {
    /// Statements up to a tag of one of these names; up to the end of the template where there is none.
    fn block(&mut self, ends: &[&str], within: &str) -> Parsed<(Block, Option<End<'s>>)> {
        self.depth += 1;
        if self.depth > PARSE_DEPTH_MAX {
            return wrong(format!("more than {PARSE_DEPTH_MAX} blocks stand inside each other"));
        }
        let mut block = Block::new();
        loop {
            let line = self.lexer.line();
            let statement = match self.lexer.next()? {
                None if ends.is_empty() => break,
                None => return wrong(format!("the tag {within} is opened and not closed")),
                Some(Piece::Text(text)) => Statement::Text(text.into()),
                Some(Piece::Print(tokens)) => {
                    let mut tokens = Tokens::new(tokens);
                    let value = tokens.several()?;
                    tokens.finish()?;
                    Statement::Print(value)
                }
                Some(Piece::Tag(tokens)) => {
                    let mut tokens = Tokens::new(tokens);
                    let name = tokens.name()?;
                    if ends.contains(&name) {
                        self.depth -= 1;
                        return Ok((block, Some((name, tokens))));
                    }
                    self.tag(name, tokens)?
                }
            };
            block.push(Node { line, statement });
        }
        self.depth -= 1;
        Ok((block, None))
    }

    /// Statements up to the one tag that ends them.
    fn body(&mut self, end: &str, within: &str) -> Parsed<Block> {
        let (block, ended) = self.block(&[end], within)?;
        ended.map_or(Ok(()), |(_, tokens)| tokens.finish())?;
        Ok(block)
    }

    fn tag(&mut self, name: &'s str, mut tokens: Tokens<'s>) -> Parsed<Statement> {
        match name {
            "if" => self.branches(tokens),
            "for" => self.loops(tokens),
            "set" => self.set(tokens),
            "macro" => self.r#macro(tokens),
            "with" => {
                let mut bindings = Vec::new();
                while !tokens.is_empty() {
                    let target = tokens.target()?;
                    tokens.sign("=")?;
                    bindings.push((target, tokens.expression()?));
                    if !tokens.accept(",") {
                        break;
                    }
                }
                tokens.finish()?;
                Ok(Statement::With(bindings, self.body("endwith", name)?))
            }
            "filter" => {
                let filters = tokens.filters()?;
                tokens.finish()?;
                Ok(Statement::Filter(filters, self.apart("endfilter", name)?))
            }
            "generation" => {
                tokens.finish()?;
                Ok(Statement::Generation(self.body("endgeneration", name)?))
            }
            "break" | "continue" => {
                tokens.finish()?;
                match (self.loops, name) {
                    (0, _) => wrong(format!("{name} stands outside of a loop")),
                    (_, "break") => Ok(Statement::Break),
                    _ => Ok(Statement::Continue),
                }
            }
            _ => wrong(format!("chat templates have no tag {name} here")),
        }
    }

    /// A body that is rendered apart, where no `break` leaves it.
    fn apart(&mut self, end: &str, within: &str) -> Parsed<Block> {
        let loops = std::mem::take(&mut self.loops);
        let body = self.body(end, within);
        self.loops = loops;
        body
    }

    fn branches(&mut self, mut tokens: Tokens<'s>) -> Parsed<Statement> {
        let mut branches = Vec::new();
        loop {
            let test = tokens.several()?;
            tokens.finish()?;
            let (block, end) = self.block(&["elif", "else", "endif"], "if")?;
            branches.push((test, block));
            match end {
                Some(("elif", rest)) => tokens = rest,
                Some(("else", rest)) => {
                    rest.finish()?;
                    return Ok(Statement::If(branches, self.body("endif", "if")?));
                }
                _ => {
                    end.map_or(Ok(()), |(_, rest)| rest.finish())?;
                    return Ok(Statement::If(branches, Block::new()));
                }
            }
        }
    }

    fn loops(&mut self, mut tokens: Tokens<'s>) -> Parsed<Statement> {
        let target = tokens.targets()?;
        tokens.word("in")?;
        let list = tokens.several_without_choice()?;
        let test = if tokens.accept_word("if") { Some(tokens.expression()?) } else { None };
        let recursive = tokens.accept_word("recursive");
        tokens.finish()?;
        self.loops += 1;
        let ended = self.block(&["else", "endfor"], "for");
        self.loops -= 1;
        let (body, end) = ended?;
        let otherwise = match end {
            Some(("else", rest)) => {
                rest.finish()?;
                self.body("endfor", "for")?
            }
            end => {
                end.map_or(Ok(()), |(_, rest)| rest.finish())?;
                Block::new()
            }
        };
        Ok(Statement::For(Box::new(For { target, list, test, recursive, body, otherwise })))
    }

    fn set(&mut self, mut tokens: Tokens<'s>) -> Parsed<Statement> {
        let target = tokens.targets()?;
        if tokens.accept("=") {
            let value = tokens.several()?;
            tokens.finish()?;
            return Ok(Statement::Set(target, value));
        }
        let filters = if tokens.accept("|") { tokens.filters()? } else { Vec::new() };
        tokens.finish()?;
        Ok(Statement::SetBlock(target, filters, self.apart("endset", "set")?))
    }

    fn r#macro(&mut self, mut tokens: Tokens<'s>) -> Parsed<Statement> {
        let name = tokens.name()?.into();
        let mut parameters: Vec<(Box<str>, Option<Expression>)> = Vec::new();
        tokens.sign("(")?;
        while !tokens.accept(")") {
            let parameter = tokens.name()?;
            if parameters.iter().any(|(name, _)| **name == *parameter) {
                return wrong(format!("a macro has two parameters {parameter}"));
            }
            let default = if tokens.accept("=") { Some(tokens.expression()?) } else { None };
            parameters.push((parameter.into(), default));
            if !tokens.accept(",") {
                tokens.sign(")")?;
                break;
            }
        }
        tokens.finish()?;
        Ok(Statement::Macro(Box::new(Macro { name, parameters, body: self.apart("endmacro", "macro")? })))
    }
}

impl<'s> Tokens<'s> {
    /// One or several names to assign to.
    fn targets(&mut self) -> Parsed<Target> {
        let first = self.target()?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.accept(",") {
            if self.is_sign("=") || self.is_empty() || self.is_word("in") {
                break;
            }
            targets.push(self.target()?);
        }
        Ok(Target::Several(targets))
    }

    fn target(&mut self) -> Parsed<Target> {
        if self.accept("(") {
            let targets = self.deeper(Self::targets)?;
            self.sign(")")?;
            return Ok(targets);
        }
        let name = self.name()?;
        if matches!(name, "true" | "false" | "none" | "True" | "False" | "None") {
            return wrong(format!("{name} cannot be assigned to"));
        }
        match self.accept(".") {
            true => Ok(Target::Attribute(name.into(), self.name()?.into())),
            false => Ok(Target::Name(name.into())),
        }
    }

    /// `name(arguments) | name(arguments)`
    fn filters(&mut self) -> Parsed<Vec<Access>> {
        let mut filters = vec![self.filter()?];
        while self.accept("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }
}
