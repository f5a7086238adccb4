//! A template as it was read. What stands in a row is a list here, not a chain, so that only brackets and blocks nest.

/// Statements, one after the other.
pub(super) type Block = Vec<Node>;

/// A statement, and the line that it begins in.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) statement: Statement,
}

#[derive(Debug)]
pub(super) enum Statement {
    /// What stands between tags.
    Text(Box<str>),
    /// `{{ value }}`
    Print(Expression),
    /// `{% if %}`: the first branch whose test holds, else the last block.
    If(Vec<(Expression, Block)>, Block),
    For(Box<For>),
    /// `{% set target = value %}`
    Set(Target, Expression),
    /// `{% set name | filters %}...{% endset %}`
    SetBlock(Target, Vec<Access>, Block),
    Macro(Box<Macro>),
    /// `{% with name = value %}`
    With(Vec<(Target, Expression)>, Block),
    /// `{% filter filters %}`
    Filter(Vec<Access>, Block),
    /// `{% generation %}`: which text the model wrote, for those who train on it.
    Generation(Block),
    Break,
    Continue,
}

/// What is assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Box<str>),
    /// `a, (b, c)`
    Several(Vec<Target>),
    /// `space.name`
    Attribute(Box<str>, Box<str>),
}

/// `{% for target in list if test recursive %}`
#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) list: Expression,
    pub(super) test: Option<Expression>,
    pub(super) recursive: bool,
    pub(super) body: Block,
    pub(super) otherwise: Block,
}

/// `{% macro name(parameters) %}`
#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Box<str>,
    pub(super) parameters: Vec<(Box<str>, Option<Expression>)>,
    pub(super) body: Block,
}

#[derive(Debug)]
pub(super) enum Expression {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    Name(Box<str>),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    /// What follows a value, from left to right.
    Chain(Box<Expression>, Vec<Access>),
    Not(Box<Expression>),
    Minus(Box<Expression>),
    Plus(Box<Expression>),
    /// Operators of one level, from left to right.
    Arithmetic(Box<Expression>, Vec<(Operator, Expression)>),
    /// `a < b < c` is `a < b and b < c`.
    Compare(Box<Expression>, Vec<(Comparison, Expression)>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    /// `value if test else other`
    Choice(Box<(Expression, Expression, Option<Expression>)>),
}

/// What follows a value.
#[derive(Debug)]
pub(super) enum Access {
    /// `.name`
    Attribute(Box<str>),
    /// `[index]`
    Item(Box<Expression>),
    /// `[start:stop:step]`
    Slice(Box<[Option<Expression>; 3]>),
    /// `(arguments)`
    Call(Arguments),
    /// `.name(arguments)`
    Method(Box<str>, Arguments),
    /// `| name(arguments)`
    Filter(Box<str>, Arguments),
    /// `is name(arguments)`
    Is(Box<str>, Arguments),
    /// `is not name(arguments)`
    IsNot(Box<str>, Arguments),
}

/// What a call is given.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Expression>,
    pub(super) named: Vec<(Box<str>, Expression)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
    /// `~`
    Join,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}
