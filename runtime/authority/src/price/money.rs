//! Money, as an exact decimal fraction.

use remit_abi::Tokens;
use std::fmt;

/// Digits behind the point of a rate.
const RATE_DECIMALS: usize = 6;
/// A million tokens may cost less than a million of the currency: so that the largest amount of tokens has its worth.
const RATE_WHOLE_DIGITS: usize = 6;
/// Digits behind the point of an amount: those of a rate, of a micro-token and of a million.
const DECIMALS: usize = RATE_DECIMALS + 6 + 6;

/// An ISO 4217 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Currency([u8; 3]);

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

/// What tokens cost in money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MoneyRate {
    currency: Currency,
    /// In millionths of the currency for a million tokens.
    per_million_micro: u64,
}

impl MoneyRate {
    /// Reads a rate; `Err` says which key is wrong, and how.
    pub(super) fn parse(currency: &str, per_million_tokens: &str) -> Result<Self, (&'static str, &'static str)> {
        let letters = <[u8; 3]>::try_from(currency.as_bytes()).ok();
        let letters = letters.filter(|letters| letters.iter().all(u8::is_ascii_uppercase));
        let currency = letters.ok_or(("money.currency", "three capital letters of ISO 4217, for example \"EUR\""))?;
        let wrong = (
            "money.per_million_tokens",
            "a decimal number above 0 with at most 6 digits before and 6 behind the point, for example \"2.50\"",
        );
        let per_million_micro = read_decimal(per_million_tokens).filter(|rate| *rate > 0).ok_or(wrong)?;
        Ok(Self { currency: Currency(currency), per_million_micro })
    }

    /// Exact: a micro-token at a millionth for a million tokens is 10⁻¹⁸ of the currency.
    pub(super) fn of(self, amount: Tokens) -> Money {
        Money { atto: u128::from(amount.micro()) * u128::from(self.per_million_micro), currency: self.currency }
    }
}

impl fmt::Display for MoneyRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.per_million_micro)
    }
}

/// Digits, and perhaps a point and more digits; in millionths.
fn read_decimal(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |digits: &str, most: usize| {
        (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_digits(whole, RATE_WHOLE_DIGITS) || !is_digits(fraction, RATE_DECIMALS) {
        return None;
    }
    format!("{whole}{fraction:0<RATE_DECIMALS$}").parse().ok()
}

/// An amount of money. It shows itself exactly, as `0.0025 EUR`, or rounded half up where a precision is asked for:
/// `{:.2}` gives `0.00 EUR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// In 10⁻¹⁸ of the currency.
    atto: u128,
    currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(DECIMALS).min(DECIMALS);
        let dropped = 10_u128.pow((DECIMALS - decimals) as u32);
        let rounded = (self.atto + dropped / 2) / dropped;
        let one = 10_u128.pow(decimals as u32);
        let mut text = (rounded / one).to_string();
        if decimals > 0 {
            text += &format!(".{:0decimals$}", rounded % one);
        }
        let text = match f.precision() {
            Some(_) => &*text,
            None => text.trim_end_matches('0').trim_end_matches('.'),
        };
        write!(f, "{text} {}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_million: &str) -> MoneyRate {
        MoneyRate::parse("EUR", per_million).expect("it is a rate")
    }

    #[test]
    fn money_is_exact() {
        for (per_million, micro, exact, rounded) in [
            ("2.50", 1_000_000_000, "0.0025 EUR", "0.00 EUR"),
            ("2.50", 1, "0.0000000000025 EUR", "0.00 EUR"),
            ("2", 1_000_000_000_000, "2 EUR", "2.00 EUR"),
            ("0.000001", 1, "0.000000000000000001 EUR", "0.00 EUR"),
            ("10", 1_999_500_000_000, "19.995 EUR", "20.00 EUR"),
            ("10", 0, "0 EUR", "0.00 EUR"),
            ("999999.999999", u64::MAX, "18446744073691.104870926290448385 EUR", "18446744073691.10 EUR"),
        ] {
            let money = rate(per_million).of(Tokens::from_micro(micro));
            assert_eq!((&*money.to_string(), &*format!("{money:.2}")), (exact, rounded));
        }
        assert_eq!(format!("{:.0}", rate("1").of(Tokens::from_micro(1_500_000_000_000))), "2 EUR");
    }

    #[test]
    fn a_rate_is_a_plain_decimal_above_nothing() {
        for wrong in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1 ", "0", "0.00", "1000000", "0.0000001", "٣"] {
            assert_eq!(
                MoneyRate::parse("EUR", wrong).err().map(|(key, _)| key),
                Some("money.per_million_tokens"),
                "{wrong}"
            );
        }
        for wrong in ["", "eur", "EURO", "€", "E1R"] {
            assert_eq!(MoneyRate::parse(wrong, "1").err().map(|(key, _)| key), Some("money.currency"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_worth_as_much_as_the_whole(one in any::<u32>(), other in any::<u32>(), rate in 1..u64::from(u32::MAX)) {
            let rate = MoneyRate { per_million_micro: rate, currency: Currency(*b"EUR") };
            let worth = |micro: u64| rate.of(Tokens::from_micro(micro)).atto;
            prop_assert_eq!(worth(one.into()) + worth(other.into()), worth(u64::from(one) + u64::from(other)));
        }
    }
}
