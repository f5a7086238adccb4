//! Which instructions there are, found at run time.

/// A set of instructions that the kernels know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// What every processor has: plain Rust.
    Plain,
    /// AVX2, FMA and F16C, of x86-64.
    Avx2,
    /// AVX-512 with the F, BW, VL and VNNI parts, of x86-64; and all that [`Avx2`](Self::Avx2) has.
    Avx512,
    /// NEON with dot products and half precision, of AArch64.
    Neon,
}

impl Isa {
    /// All that there are, the fastest first.
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Plain];

    /// The fastest one that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self::all_here().next().unwrap_or(Self::Plain)
    }

    /// Those that this processor has, the fastest first.
    pub fn all_here() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_here())
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_here(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has_avx2(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                has_avx2()
                    && std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => {
                std::arch::is_aarch64_feature_detected!("neon")
                    && std::arch::is_aarch64_feature_detected!("dotprod")
                    && std::arch::is_aarch64_feature_detected!("fp16")
            }
            #[allow(unreachable_patterns, reason = "which are left depends on the architecture")]
            _ => false,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
}
