//! Sixteen numbers side by side, each an output of its own: what attention and the elementwise steps keep their sums in.
//!
//! Operations are loops of constant length over an array, which the compiler turns into the vector instructions of the function
//! that they are inlined into. Where a loop must stay in registers, kernels take [`lanes`](crate::lanes) instead.

/// Numbers side by side, as many as a block has tokens: each is an output of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Sixteen(pub(crate) [f32; LANES]);

/// How many there are.
pub(crate) const LANES: usize = 16;

impl Sixteen {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);

    /// Adds a factor times other lanes, rounding once.
    #[inline(always)]
    pub(crate) fn add_product(&mut self, factor: f32, other: &Self) {
        for lane in 0..LANES {
            self.0[lane] = factor.mul_add(other.0[lane], self.0[lane]);
        }
    }

    /// Multiplies each with a factor.
    #[inline(always)]
    pub(crate) fn scale(&mut self, factor: f32) {
        for number in &mut self.0 {
            *number *= factor;
        }
    }

    /// Adds each to the other's.
    #[inline(always)]
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, other) in self.0.iter_mut().zip(other.0) {
            *sum += other;
        }
    }

    /// Each that is higher of the two; not those of `other` that are no number.
    #[inline(always)]
    pub(crate) fn rise_to(&mut self, other: &Self) {
        for lane in 0..LANES {
            self.0[lane] = if other.0[lane] > self.0[lane] { other.0[lane] } else { self.0[lane] };
        }
    }

    /// All lanes: the second half is added to the first, and so on.
    #[inline(always)]
    pub(crate) fn sum(&self) -> f32 {
        let mut sums = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
            half /= 2;
        }
        sums[0]
    }
}
