//! What a grammar may cost, each with a name, a number and a reason.

/// Bounds on compiling a grammar and on each of its steps.
///
/// Time follows from fuel, which the library counts: by its authors' figures some 50,000 units of [`compile_fuel`] and
/// 14,000 units of [`step_fuel`] are a millisecond. So the same grammar fails on every machine, or on none.
///
/// [`compile_fuel`]: Self::compile_fuel
/// [`step_fuel`]: Self::step_fuel
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a schema (as compact JSON), a regular expression, a grammar, or all choices together.
    pub source_bytes_max: usize,
    /// Bytes of one regular expression, of all of a schema together, or of one terminal of a grammar with the terminals that
    /// stand in it.
    pub pattern_bytes_max: usize,
    /// Brackets inside each other in a grammar or a regular expression, and values inside each other in a schema.
    pub depth_max: usize,
    /// Items of a choice.
    pub choices_max: usize,
    /// Fuel for compiling.
    pub compile_fuel: u64,
    /// Symbols in all productions of a grammar.
    pub symbols_max: usize,
    /// States of a lexer, over a whole generation.
    pub lexer_states_max: usize,
    /// Fuel for one mask.
    pub step_fuel: u64,
    /// Earley items that one mask creates.
    pub step_items_max: usize,
    /// Earley items of one row: in how many ways a text may be read at one place.
    pub row_items_max: usize,
}

impl Limits {
    /// What a schema of a large API takes: its longest ones, with descriptions, have some 50 KB.
    pub const SOURCE_BYTES_MAX: usize = 64 << 10;
    /// A step of a regular expression's automaton costs the square of its length at worst: 0.2 s for 2,000 parts that may all
    /// be left out. Expressions for addresses of all kinds have some hundred.
    pub const PATTERN_BYTES_MAX: usize = 4 << 10;
    /// How many times [`PATTERN_BYTES_MAX`](Self::PATTERN_BYTES_MAX) all terminals of a grammar may have together: the terminals
    /// of a programming language have less than half of this.
    pub const TERMINALS_PATTERNS_MAX: usize = 4;
    /// The deepest schemas in use have some 20; the library recurses, and 48 fit into [`COMPILE_STACK_BYTES`] many times.
    ///
    /// [`COMPILE_STACK_BYTES`]: crate::COMPILE_STACK_BYTES
    pub const DEPTH_MAX: usize = 48;
    /// The countries, currencies or time zones of the world; a longer list belongs behind a tool.
    pub const CHOICES_MAX: usize = 1024;
    /// 20 ms of regular expressions. The largest schema that the library's authors tried took half of it.
    pub const COMPILE_FUEL: u64 = 1_000_000;
    /// A twelfth of a second of productions; a tool of 20 arguments has some 500.
    pub const SYMBOLS_MAX: usize = 100_000;
    /// At 1 to 2 KB each this is at most 32 MB for a generation that tries; JSON takes some hundred.
    pub const LEXER_STATES_MAX: usize = 16 << 10;
    /// About 14 ms: a mask that takes longer than some tokens of the model is not worth waiting for.
    pub const STEP_FUEL: u64 = 200_000;
    /// About 3 ms.
    pub const STEP_ITEMS_MAX: usize = 50_000;
    /// Grammars without ambiguity stay below their widest alternative.
    pub const ROW_ITEMS_MAX: usize = 2_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes_max: Self::SOURCE_BYTES_MAX,
            pattern_bytes_max: Self::PATTERN_BYTES_MAX,
            depth_max: Self::DEPTH_MAX,
            choices_max: Self::CHOICES_MAX,
            compile_fuel: Self::COMPILE_FUEL,
            symbols_max: Self::SYMBOLS_MAX,
            lexer_states_max: Self::LEXER_STATES_MAX,
            step_fuel: Self::STEP_FUEL,
            step_items_max: Self::STEP_ITEMS_MAX,
            row_items_max: Self::ROW_ITEMS_MAX,
        }
    }
}
