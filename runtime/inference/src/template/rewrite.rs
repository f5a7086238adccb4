//! From a template's text to instructions, by way of the library's syntax tree.
//!
//! The tree is copied with other operations in it: whatever makes or reads a value in one instruction (operators, lists and maps,
//! items, slices) becomes a call of [a function](super::operators) that counts it, and raw text becomes a constant that is
//! written, so that the [formatter](super) counts it too. The functions are constants in the tree, so a template cannot name or
//! replace them; and with them nothing is left for the compiler to compute beforehand.

use super::{meter::failed, operators};
use minijinja::{
    Error, Value,
    machinery::{
        CodeGenerator, Instructions, Span, Token, WhitespaceConfig,
        ast::{self, BinOpKind, CallArg, Expr, Spanned, Stmt},
        parse, tokenize,
    },
    syntax::SyntaxConfig,
};

/// Tokens of one tag, and `elif`s of one template: known ones have less than 200 and 20. The library goes one call deeper with each,
/// and does not look how deep it is.
pub(super) const TOKENS_MAX: usize = 500;
const ELIFS_MAX: usize = 200;

const NAME: &str = "chat template";
const WHITESPACE: WhitespaceConfig =
    WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };

/// Compiles a template that was [measured](measure).
pub(super) fn compile(source: &str) -> Result<Instructions<'_>, Error> {
    let tree = statement(&parse(source, NAME, SyntaxConfig, WHITESPACE)?)?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&tree);
    Ok(generator.finish().0)
}

/// That the library's calls go no deeper than its stack.
pub(super) fn measure(source: &str) -> Result<(), Error> {
    let (mut tokens, mut elifs) = (0, 0);
    for token in tokenize(source, false, SyntaxConfig, WHITESPACE) {
        let (token, span) = token?;
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => tokens = 0,
            Token::Ident("elif") => elifs += 1,
            _ => tokens += 1,
        }
        if tokens > TOKENS_MAX || elifs > ELIFS_MAX {
            let line = span.start_line;
            return Err(failed(format!(
                "line {line} has more than {TOKENS_MAX} parts in one tag, or the {ELIFS_MAX}th elif"
            )));
        }
    }
    Ok(())
}

/// A copy of a node with another content.
fn like<T, U>(node: &Spanned<T>, content: U) -> Spanned<U> {
    Spanned::new(content, node.span())
}

fn constant<'a>(value: Value, span: Span) -> Expr<'a> {
    Expr::Const(Spanned::new(ast::Const { value }, span))
}

fn call<'a>(function: Value, arguments: Vec<Expr<'a>>, span: Span) -> Expr<'a> {
    let args = arguments.into_iter().map(CallArg::Pos).collect();
    Expr::Call(Spanned::new(ast::Call { expr: constant(function, span), args }, span))
}

fn statements<'a>(all: &[Stmt<'a>]) -> Result<Vec<Stmt<'a>>, Error> {
    all.iter().map(statement).collect()
}

fn statement<'a>(node: &Stmt<'a>) -> Result<Stmt<'a>, Error> {
    Ok(match node {
        Stmt::Template(node) => Stmt::Template(like(node, ast::Template { children: statements(&node.children)? })),
        Stmt::EmitExpr(node) => Stmt::EmitExpr(like(node, ast::EmitExpr { expr: expression(&node.expr)? })),
        Stmt::EmitRaw(node) => {
            Stmt::EmitExpr(like(node, ast::EmitExpr { expr: constant(Value::from(node.raw), node.span()) }))
        }
        Stmt::ForLoop(node) => {
            let filter_expr = maybe(node.filter_expr.as_ref())?;
            let walked = operators::walked(filter_expr.is_some());
            Stmt::ForLoop(like(
                node,
                ast::ForLoop {
                    target: target(&node.target)?,
                    iter: call(walked, vec![expression(&node.iter)?], node.iter.span()),
                    filter_expr,
                    recursive: node.recursive,
                    body: statements(&node.body)?,
                    else_body: statements(&node.else_body)?,
                },
            ))
        }
        Stmt::IfCond(node) => {
            let (true_body, false_body) = (statements(&node.true_body)?, statements(&node.false_body)?);
            Stmt::IfCond(like(node, ast::IfCond { expr: expression(&node.expr)?, true_body, false_body }))
        }
        Stmt::WithBlock(node) => {
            let assign = |(to, from): &(Expr<'a>, Expr<'a>)| Ok((target(to)?, expression(from)?));
            let assignments = node.assignments.iter().map(assign).collect::<Result<_, Error>>()?;
            Stmt::WithBlock(like(node, ast::WithBlock { assignments, body: statements(&node.body)? }))
        }
        Stmt::Set(node) => {
            let value = expression(&node.expr)?;
            let expr = match node.target {
                Expr::GetAttr(_) => call(operators::stored(), vec![value], node.expr.span()),
                _ => value,
            };
            Stmt::Set(like(node, ast::Set { target: target(&node.target)?, expr }))
        }
        Stmt::SetBlock(node) => {
            let (target, filter) = (target(&node.target)?, maybe(node.filter.as_ref())?);
            Stmt::SetBlock(like(node, ast::SetBlock { target, filter, body: statements(&node.body)? }))
        }
        Stmt::FilterBlock(node) => {
            let (filter, body) = (expression(&node.filter)?, statements(&node.body)?);
            Stmt::FilterBlock(like(node, ast::FilterBlock { filter, body }))
        }
        Stmt::Macro(node) => Stmt::Macro(like(node, definition(node)?)),
        Stmt::CallBlock(node) => {
            let (call, body) = (like(&node.call, called(&node.call)?), &node.macro_decl);
            Stmt::CallBlock(like(node, ast::CallBlock { call, macro_decl: like(body, definition(body)?) }))
        }
        Stmt::Do(node) => Stmt::Do(like(node, ast::Do { call: like(&node.call, called(&node.call)?) })),
        Stmt::Continue(node) => Stmt::Continue(like(node, ast::Continue)),
        Stmt::Break(node) => Stmt::Break(like(node, ast::Break)),
        Stmt::AutoEscape(_) => return Err(failed("the tag autoescape is not supported")),
        Stmt::Block(_) | Stmt::Extends(_) | Stmt::Include(_) | Stmt::Import(_) | Stmt::FromImport(_) => {
            return Err(failed("other templates, and blocks for them, are not supported"));
        }
    })
}

fn definition<'a>(node: &ast::Macro<'a>) -> Result<ast::Macro<'a>, Error> {
    let args = node.args.iter().map(target).collect::<Result<_, Error>>()?;
    Ok(ast::Macro { name: node.name, args, defaults: expressions(&node.defaults)?, body: statements(&node.body)? })
}

/// What is assigned to: names, and attributes of namespaces.
fn target<'a>(node: &Expr<'a>) -> Result<Expr<'a>, Error> {
    Ok(match node {
        Expr::Var(node) => Expr::Var(like(node, ast::Var { id: node.id })),
        Expr::List(node) => {
            let items = node.items.iter().map(target).collect::<Result<_, Error>>()?;
            Expr::List(like(node, ast::List { items }))
        }
        Expr::GetAttr(node) => {
            Expr::GetAttr(like(node, ast::GetAttr { expr: expression(&node.expr)?, name: node.name }))
        }
        _ => return Err(failed("only names and attributes of namespaces can be assigned to")),
    })
}

fn maybe<'a>(node: Option<&Expr<'a>>) -> Result<Option<Expr<'a>>, Error> {
    node.map(expression).transpose()
}

fn expressions<'a>(all: &[Expr<'a>]) -> Result<Vec<Expr<'a>>, Error> {
    all.iter().map(expression).collect()
}

fn expression<'a>(node: &Expr<'a>) -> Result<Expr<'a>, Error> {
    let span = node.span();
    Ok(match node {
        Expr::Var(node) => Expr::Var(like(node, ast::Var { id: node.id })),
        Expr::Const(node) => constant(node.value.clone(), span),
        Expr::Slice(node) => {
            let none = |bound: &Option<Expr<'a>>| match bound {
                Some(bound) => expression(bound),
                None => Ok(constant(Value::from(()), span)),
            };
            let bounds = [none(&node.start)?, none(&node.stop)?, none(&node.step)?];
            call(operators::slice(), [expression(&node.expr)?].into_iter().chain(bounds).collect(), span)
        }
        Expr::UnaryOp(node) => {
            #[allow(clippy::needless_match, reason = "the kind has no copies")]
            let op = match node.op {
                ast::UnaryOpKind::Not => ast::UnaryOpKind::Not,
                ast::UnaryOpKind::Neg => ast::UnaryOpKind::Neg,
            };
            Expr::UnaryOp(like(node, ast::UnaryOp { op, expr: expression(&node.expr)? }))
        }
        Expr::BinOp(node) => {
            let (left, right) = (expression(&node.left)?, expression(&node.right)?);
            match node.op {
                // These work on numbers or on nothing, or only choose.
                BinOpKind::ScAnd
                | BinOpKind::ScOr
                | BinOpKind::Sub
                | BinOpKind::Div
                | BinOpKind::FloorDiv
                | BinOpKind::Rem
                | BinOpKind::Pow => Expr::BinOp(like(node, ast::BinOp { op: node.op, left, right })),
                op => call(operators::binary(op), vec![left, right], span),
            }
        }
        Expr::Compare(node) => {
            let values = [expression(&node.expr)].into_iter().chain(node.ops.iter().map(|op| expression(&op.expr)));
            let chain = operators::chain(node.ops.iter().map(|op| op.op).collect());
            call(chain, values.collect::<Result<_, Error>>()?, span)
        }
        Expr::IfExpr(node) => {
            let (test_expr, true_expr) = (expression(&node.test_expr)?, expression(&node.true_expr)?);
            let false_expr = maybe(node.false_expr.as_ref())?;
            Expr::IfExpr(like(node, ast::IfExpr { test_expr, true_expr, false_expr }))
        }
        Expr::Filter(node) => {
            let (expr, args) = (maybe(node.expr.as_ref())?, arguments(&node.args)?);
            Expr::Filter(like(node, ast::Filter { name: node.name, expr, args }))
        }
        Expr::Test(node) => {
            let (expr, args) = (expression(&node.expr)?, arguments(&node.args)?);
            Expr::Test(like(node, ast::Test { name: node.name, expr, args }))
        }
        Expr::GetAttr(_) => target(node)?,
        Expr::GetItem(node) => {
            call(operators::item(), vec![expression(&node.expr)?, expression(&node.subscript_expr)?], span)
        }
        Expr::Call(node) => Expr::Call(like(node, called(node)?)),
        Expr::List(node) => call(operators::list(), expressions(&node.items)?, span),
        Expr::Map(node) => {
            let pairs = node.keys.iter().zip(&node.values).flat_map(|(key, value)| [key, value]);
            call(operators::map(), pairs.map(expression).collect::<Result<_, Error>>()?, span)
        }
    })
}

fn called<'a>(node: &ast::Call<'a>) -> Result<ast::Call<'a>, Error> {
    let mut args = arguments(&node.args)?;
    if matches!(&node.expr, Expr::Var(name) if name.id == "loop") {
        // A loop that calls itself goes over this.
        for argument in &mut args {
            if let CallArg::Pos(value) = argument {
                let span = value.span();
                let inner = std::mem::replace(value, constant(Value::UNDEFINED, span));
                *value = call(operators::walked(true), vec![inner], span);
            }
        }
    }
    Ok(ast::Call { expr: expression(&node.expr)?, args })
}

fn arguments<'a>(all: &[CallArg<'a>]) -> Result<Vec<CallArg<'a>>, Error> {
    let copy = |argument: &CallArg<'a>| {
        Ok(match argument {
            CallArg::Pos(value) => CallArg::Pos(expression(value)?),
            CallArg::Kwarg(name, value) => CallArg::Kwarg(name, expression(value)?),
            CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                return Err(failed("arguments from a list or mapping (*, **) are not supported"));
            }
        })
    };
    all.iter().map(copy).collect()
}
