//! Sizes of models of the llama family.

use remit_inference::model::{
    Architecture,
    architecture::{Activation, Feed, Layer, Pairs},
    rope::Rope,
};

/// A model's sizes.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    layers: usize,
    width: usize,
    heads: usize,
    kv_heads: usize,
    head_width: usize,
    inner: usize,
    pub(crate) vocabulary: usize,
    tied_output: bool,
    /// Tokens of a prompt that is measured.
    pub(crate) prompt: usize,
}

/// The smallest first. Then SmolLM2-135M, Llama 3.2 1B and Llama 3.1 8B.
pub(crate) static SHAPES: [Shape; 4] = [
    Shape {
        name: "tiny",
        layers: 2,
        width: 64,
        heads: 4,
        kv_heads: 2,
        head_width: 16,
        inner: 128,
        vocabulary: 256,
        tied_output: true,
        prompt: 32,
    },
    Shape {
        name: "135m",
        layers: 30,
        width: 576,
        heads: 9,
        kv_heads: 3,
        head_width: 64,
        inner: 1536,
        vocabulary: 49_152,
        tied_output: true,
        prompt: 512,
    },
    Shape {
        name: "1b",
        layers: 16,
        width: 2048,
        heads: 32,
        kv_heads: 8,
        head_width: 64,
        inner: 8192,
        vocabulary: 128_256,
        tied_output: true,
        prompt: 512,
    },
    Shape {
        name: "8b",
        layers: 32,
        width: 4096,
        heads: 32,
        kv_heads: 8,
        head_width: 128,
        inner: 14_336,
        vocabulary: 128_256,
        tied_output: false,
        prompt: 512,
    },
];

impl Shape {
    pub(crate) fn architecture(&self) -> Architecture {
        Architecture {
            family: "llama",
            width: self.width,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_width: self.head_width,
            vocabulary: self.vocabulary,
            context: 8192,
            epsilon: 1e-5,
            layers: vec![Layer { window: None, rope: 0 }; self.layers],
            ropes: vec![Rope::plain(500_000.0)],
            rope_width: self.head_width,
            rope_pairs: Pairs::Halves,
            feed: Feed::Dense { inner: self.inner },
            activation: Activation::Silu,
            post_norms: false,
            query_key_norm: false,
            projection_bias: false,
            attention_scale: (self.head_width as f32).sqrt().recip(),
            attention_softcap: None,
            output_softcap: None,
            embedding_scale: 1.0,
            tied_output: self.tied_output,
        }
    }

    /// Multiplications and additions of a prompt: its products with all weights of layers, the scores and mixtures of
    /// each position with those before it, and one row of logits.
    pub(crate) fn prompt_operations(&self) -> f64 {
        let query = self.heads * self.head_width;
        let key = self.kv_heads * self.head_width;
        let layer = self.width * (2 * query + 2 * key + 3 * self.inner);
        let seen = self.prompt * (self.prompt + 1) / 2;
        let products = self.prompt * self.layers * layer + self.width * self.vocabulary;
        2.0 * (products as f64 + (2 * self.layers * query) as f64 * seen as f64)
    }
}
