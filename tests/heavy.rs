//! Components that are heavy to take in, written when they are needed: one of 200 MB, one that takes minutes to compile.
//!
//! Neither gets as far as being an agent: a node refuses the one by its size before it reads it, and stops compiling the
//! other when its time is up.

use remit_assembly::Package;
use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CodeSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, ComponentValType, ExportKind, ExportSection, Function,
    FunctionSection, InstanceSection, InstructionSink, Module, ModuleArg, ModuleSection, PrimitiveValType, TypeSection,
    ValType,
};

/// Of the large one.
const LARGE_BYTES: u64 = 200_000_000;

/// What an agent exports.
const RUN: &str = "run";

/// Functions of the slow one: four minutes of work together, in 10 MB.
const FUNCTIONS: u32 = 8;

/// Calls in each of them.
const CALLS: u32 = 100_000;

/// Numbers that live across all these calls, in no order: the work of giving each a place makes such a function take 29 s
/// to compile on one core, where 150,000 calls without them take 4 s.
const LOCALS: u32 = 1_000;

/// A component that is nothing but one section of zeros that nobody has to understand. On most file systems it takes no
/// room.
pub(crate) fn large(folder: &Path) -> Package {
    let path = folder.join("large.wasm");
    let preamble = Component::new().finish();
    let length = |bytes: u64| (0..5).map(move |i| (bytes >> (7 * i) & 0x7f) as u8 | if i < 4 { 0x80 } else { 0 });
    let mut file = File::create(&path).expect("the folder is writable");
    file.write_all(&preamble).expect("there is room");
    file.write_all(&[0]).expect("there is room");
    let rest = LARGE_BYTES - preamble.len() as u64 - 6;
    file.write_all(&length(rest).collect::<Vec<_>>()).expect("there is room");
    file.set_len(LARGE_BYTES).expect("there is room");
    Package::open(&path).expect("a component alone is a package")
}

/// A component of functions that are valid, small to write down and long: a compiler's work for minutes.
pub(crate) fn slow(folder: &Path) -> Package {
    let path = folder.join("slow.wasm");
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    let mut short = Function::new([]);
    short.instructions().local_get(0).end();
    functions.function(0);
    code.function(&short);
    let mut long = Function::new([(LOCALS, ValType::I32)]);
    write_calls(&mut long.instructions());
    for _ in 0..FUNCTIONS {
        functions.function(0);
        code.function(&long);
    }
    let mut exports = ExportSection::new();
    exports.export(RUN, ExportKind::Func, 1);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    fs::write(&path, lifted(&module)).expect("the folder is writable");
    Package::open(&path).expect("a component alone is a package")
}

/// A component that exports `run` as this module does: enough to be taken for an agent until it is linked.
fn lifted(module: &Module) -> Vec<u8> {
    let mut instances = InstanceSection::new();
    instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::CoreInstanceExport { instance: 0, kind: ExportKind::Func, name: RUN });
    let mut types = ComponentTypeSection::new();
    let number = ComponentValType::Primitive(PrimitiveValType::S32);
    types.function().params([("n", number)]).result(Some(number));
    let mut functions = CanonicalFunctionSection::new();
    functions.lift(0, 0, []);
    let mut exports = ComponentExportSection::new();
    exports.export(RUN, ComponentExportKind::Func, 0, None);
    let mut component = Component::new();
    component.section(&ModuleSection(module)).section(&instances).section(&aliases);
    component.section(&types).section(&functions).section(&exports);
    component.finish()
}

/// Each step adds one number, and what a call makes of another, into a third.
fn write_calls(code: &mut InstructionSink<'_>) {
    let mut state = 1_u32;
    let mut any = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 8) % LOCALS
    };
    for _ in 0..CALLS {
        code.local_get(any()).local_get(any()).call(0).i32_add().local_set(any());
    }
    code.local_get(1).end();
}
