//! A parsed template. What it allows and how it is scoped is Jinja2's, not Python's: see parser.rs.

use std::rc::Rc;

use super::value::Value;

pub type Name = Rc<str>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    Negative,
    Positive,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

pub enum Expr {
    Const(Value),
    Name(Name),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// `a < b < c` compares as in Python.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `a ~ b`.
    Concat(Vec<Expr>),
    Conditional {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
    Attribute(Box<Expr>, Name),
    Item(Box<Expr>, Box<Expr>),
    /// Start, stop, step.
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Arguments),
    Filter(Box<Expr>, FilterCall),
    Test(Box<Expr>, FilterCall),
}

#[derive(Default)]
pub struct Arguments {
    pub positional: Vec<Expr>,
    pub named: Vec<(Name, Expr)>,
    pub star: Option<Box<Expr>>,
    pub double_star: Option<Box<Expr>>,
}

/// A filter or a test, by its name.
pub struct FilterCall {
    pub name: Name,
    pub arguments: Arguments,
}

pub enum Target {
    Name(Name),
    Tuple(Vec<Target>),
    /// `ns.attribute`, for namespaces only.
    Attribute(Name, Name),
}

pub type Body = Vec<Node>;

pub struct Node {
    pub line: u32,
    pub statement: Statement,
}

pub enum Statement {
    Text(Rc<str>),
    Output(Vec<Expr>),
    For(Rc<For>),
    If {
        branches: Vec<(Expr, Body)>,
        otherwise: Body,
    },
    Set {
        target: Target,
        value: Expr,
    },
    SetBlock {
        target: Target,
        filters: Vec<FilterCall>,
        body: Body,
    },
    FilterBlock {
        filters: Vec<FilterCall>,
        body: Body,
    },
    With {
        bindings: Vec<(Target, Expr)>,
        body: Body,
    },
    Macro(Rc<Macro>),
    /// `{% call(...) f() %}`: `call` is f(), and it finds the body as `caller`.
    Call {
        call: Expr,
        caller: Rc<Macro>,
    },
    /// A body with variables of its own: `{% generation %}`.
    Scope(Body),
    /// `{% block %}`: only the template's own variables are seen inside.
    Block(Body),
    /// `include`, `import`, `from` and `extends`: a chat template has nothing to load from.
    Load(&'static str),
    Break,
    Continue,
}

pub struct For {
    pub target: Target,
    pub iterable: Expr,
    pub test: Option<Expr>,
    pub recursive: bool,
    pub body: Body,
    pub otherwise: Body,
}

pub struct Macro {
    pub name: Name,
    pub parameters: Vec<Name>,
    /// Of the last parameters.
    pub defaults: Vec<Expr>,
    pub body: Body,
    /// The body uses these names without having assigned them.
    pub uses_varargs: bool,
    pub uses_kwargs: bool,
    pub uses_caller: bool,
}
