//! What a model is: its sizes and the features in which the families differ, as plain data.
//!
//! The decoder reads this and nothing else, so that it knows no family. What a file says becomes an [`Architecture`]
//! in `families`; whoever made one has [`check`](Architecture::check)ed it, so that no number of it
//! can make the decoder panic or overflow.
//!
//! | feature | values | who needs it |
//! | --- | --- | --- |
//! | window | a layer sees all positions, or the last so many | mistral, phi-3; every other layer of gemma 2, five of six of gemma 3 |
//! | ropes | one, or one for each kind of layer | gemma 3 has two |
//! | feed | dense, or experts behind a router | qwen3-moe |
//! | activation | SiLU, or GELU in its tanh form | gemma |
//! | post norms | the branches' results are normalised too | gemma |
//! | query and key norm | each head is normalised before it is turned | qwen3, gemma 3 |
//! | projection bias | of query, key and value | qwen2 |
//! | softcaps | `cap · tanh(x / cap)` of scores, of logits | gemma 2 |
//! | scales | of embeddings, of scores | gemma |

use super::{ModelError, rope::Rope};

/// Layers of one model, at most: the largest known have about 130.
pub const LAYERS_MAX: usize = 1024;
/// Any width, at most: products of two of them stay far from overflowing.
pub const WIDTH_MAX: usize = 1 << 20;
/// Experts of a layer, at most: the largest known have 512.
pub const EXPERTS_MAX: usize = 4096;
/// Prompt and output together, at most: the size of keys and values stays far from overflowing.
pub const CONTEXT_MAX: usize = u32::MAX as usize;

/// Everything that the decoder needs to know of a model, its weights aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The family's name, as a model card says it.
    pub family: &'static str,
    /// Of the hidden state.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Of one head.
    pub head_width: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// Prompt and output together, in tokens.
    pub context: usize,
    /// Added to the mean square before its root is taken.
    pub epsilon: f32,
    /// Blocks of attention and feed-forward, in order.
    pub layers: Vec<Layer>,
    /// The rotary embeddings that layers refer to.
    pub ropes: Vec<Rope>,
    /// How much of a head the rotary embedding turns.
    pub rope_width: usize,
    /// Which numbers of a head it turns together.
    pub rope_pairs: Pairs,
    /// The feed-forward.
    pub feed: Feed,
    /// Of its gate.
    pub activation: Activation,
    /// Whether the results of attention and feed-forward are normalised before they are added.
    pub post_norms: bool,
    /// Whether each query and key head is normalised before it is turned.
    pub query_key_norm: bool,
    /// Whether queries, keys and values have a bias.
    pub projection_bias: bool,
    /// What a score is multiplied with.
    pub attention_scale: f32,
    /// Scores stay below this.
    pub attention_softcap: Option<f32>,
    /// Logits stay below this.
    pub output_softcap: Option<f32>,
    /// What an embedding is multiplied with.
    pub embedding_scale: f32,
    /// Whether the embedding is the output matrix too.
    pub tied_output: bool,
}

/// In what layers may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// A position attends to the last so many, itself among them; to all where this is absent.
    pub window: Option<usize>,
    /// Which of the architecture's rotary embeddings.
    pub rope: usize,
}

/// Which numbers of a head the rotary embedding turns together. It is a matter of how a file orders the rows of the query
/// and key matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// 0 with 1, 2 with 3.
    Neighbours,
    /// The first half with the second: 0 with `rope_width / 2`.
    Halves,
}

/// A feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// One.
    Dense {
        /// Of its inside.
        inner: usize,
    },
    /// Several, of which a router chooses some for each position.
    Experts {
        /// How many there are.
        count: usize,
        /// How many a position goes through.
        used: usize,
        /// Of the inside of each.
        inner: usize,
        /// Whether the weights of the chosen ones add up to one.
        normalise: bool,
    },
}

/// Of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", in the form with tanh.
    GeluTanh,
}

impl Architecture {
    /// The numbers of all query heads together.
    #[must_use]
    pub fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// The numbers of all key heads together, and of all value heads.
    #[must_use]
    pub fn key_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// Gives each layer its window and its rotary embedding.
    pub(super) fn arrange(&mut self, mut each: impl FnMut(usize) -> Layer) {
        self.layers.iter_mut().enumerate().for_each(|(index, layer)| *layer = each(index));
    }

    /// Whether the numbers fit together and stay within the limits.
    ///
    /// # Errors
    /// [`ModelError::Metadata`], which says which do not.
    pub fn check(&self) -> Result<(), ModelError> {
        self.check_sizes()?;
        self.check_numbers()?;
        self.check_feed()?;
        for rope in &self.ropes {
            rope.check(self.rope_width).map_err(ModelError::metadata)?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if layer.window == Some(0) {
                return Err(ModelError::metadata(format!("the window of layer {index} is 0")));
            }
            if layer.rope >= self.ropes.len() {
                return Err(ModelError::metadata(format!("layer {index} has no rotary embedding")));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), ModelError> {
        let Self { heads, kv_heads, head_width, rope_width, .. } = self;
        for (what, value, most) in [
            ("layer count", self.layers.len(), LAYERS_MAX),
            ("width", self.width, WIDTH_MAX),
            ("head count", *heads, WIDTH_MAX),
            ("key head count", *kv_heads, WIDTH_MAX),
            ("head width", *head_width, WIDTH_MAX),
            ("vocabulary", self.vocabulary, CONTEXT_MAX),
            ("context", self.context, CONTEXT_MAX),
        ] {
            if value == 0 || value > most {
                return Err(ModelError::metadata(format!("the {what} is {value} and must be 1 to {most}")));
            }
        }
        let why = if !heads.is_multiple_of(*kv_heads) {
            format!("{kv_heads} key heads do not divide {heads} heads")
        } else if heads * head_width > WIDTH_MAX {
            format!("{heads} heads of {head_width} are too wide")
        } else if *rope_width == 0 || !rope_width.is_multiple_of(2) || rope_width > head_width {
            format!("a rotary width of {rope_width} does not fit into heads of {head_width}")
        } else {
            return Ok(());
        };
        Err(ModelError::metadata(why))
    }

    fn check_numbers(&self) -> Result<(), ModelError> {
        let positive = |what: &str, value: f32| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(ModelError::metadata(format!("the {what} is {value}"))),
        };
        positive("norms' epsilon", self.epsilon)?;
        positive("scale of attention", self.attention_scale)?;
        positive("scale of embeddings", self.embedding_scale)?;
        for (what, cap) in [("scores", self.attention_softcap), ("logits", self.output_softcap)] {
            cap.map_or(Ok(()), |cap| positive(&format!("softcap of {what}"), cap))?;
        }
        Ok(())
    }

    fn check_feed(&self) -> Result<(), ModelError> {
        let (inner, why) = match self.feed {
            Feed::Dense { inner } => (inner, None),
            Feed::Experts { count, used, inner, .. } => {
                let most = format!("{count} experts where 1 to {EXPERTS_MAX} are possible");
                let chosen = format!("{used} of {count} experts are used");
                let why = (count == 0 || count > EXPERTS_MAX).then_some(most);
                (inner, why.or((used == 0 || used > count).then_some(chosen)))
            }
        };
        match why {
            Some(why) => Err(ModelError::metadata(why)),
            None if inner == 0 || inner > WIDTH_MAX => {
                Err(ModelError::metadata(format!("the inner width is {inner} and must be 1 to {WIDTH_MAX}")))
            }
            None => Ok(()),
        }
    }
}
