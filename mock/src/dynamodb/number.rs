//! DynamoDB's numbers: decimal, exact, up to 38 significant digits.
//!
//! The magnitude is 0 or from 1E-130 up to 9.9…E+125. Arithmetic is addition and subtraction
//! only; a result that needs more than 38 digits is refused, never rounded.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A number in its one normal form, so that equal numbers are equal fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    /// Below 10^38, and without trailing zeros; 0 only for the number 0.
    coefficient: u128,
    /// The power of ten by which the coefficient counts; 0 for the number 0.
    exponent: i32,
}

/// Why a text or a result is no number of DynamoDB; displayed in the service's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NumberError {
    #[error("The parameter cannot be converted to a numeric value")]
    Empty,
    #[error("The parameter cannot be converted to a numeric value: {0}")]
    NotNumeric(String),
    #[error(
        "Number overflow. Attempting to store a number with magnitude larger than supported range"
    )]
    Overflow,
    #[error(
        "Number underflow. Attempting to store a number with magnitude smaller than supported range"
    )]
    Underflow,
    #[error("Attempting to store more than 38 significant digits in a Number")]
    TooPrecise,
}

impl Number {
    const ZERO: Self = Self {
        negative: false,
        coefficient: 0,
        exponent: 0,
    };

    /// The sum of both.
    pub(super) fn plus(self, other: Self) -> Result<Self, NumberError> {
        let (high, low) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        if high.coefficient == 0 || low.coefficient == 0 {
            return Ok(if high.coefficient == 0 { low } else { high });
        }
        // Where the exponents differ, the last digit of the result is the last digit of `low`,
        // which is not 0. So a value beyond u128, and above 10^38 also after subtracting a number
        // below 10^38, has more than 38 significant digits: overflow of u128 is TooPrecise.
        let coefficient = scale(high.coefficient, high.exponent.abs_diff(low.exponent))
            .ok_or(NumberError::TooPrecise)?;
        let (negative, sum) = if high.negative == low.negative {
            let sum = coefficient
                .checked_add(low.coefficient)
                .ok_or(NumberError::TooPrecise)?;
            (high.negative, sum)
        } else if coefficient >= low.coefficient {
            (high.negative, coefficient - low.coefficient)
        } else {
            (low.negative, low.coefficient - coefficient)
        };
        Self::normal(negative, sum, i64::from(low.exponent))
    }

    /// This number less the other.
    pub(super) fn minus(self, other: Self) -> Result<Self, NumberError> {
        self.plus(Self {
            negative: !other.negative && other.coefficient != 0,
            ..other
        })
    }

    /// The bytes that the service counts for it.
    pub(super) fn size(self) -> usize {
        1 + digits(self.coefficient).div_ceil(2) as usize + usize::from(self.negative)
    }

    /// The exponent of the first digit.
    fn magnitude(self) -> i32 {
        self.exponent + digits(self.coefficient).cast_signed() - 1
    }

    fn normal(negative: bool, coefficient: u128, exponent: i64) -> Result<Self, NumberError> {
        if coefficient == 0 {
            return Ok(Self::ZERO);
        }
        let (mut coefficient, mut exponent) = (coefficient, exponent);
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent += 1;
        }
        let digits = digits(coefficient);
        let magnitude = exponent + i64::from(digits) - 1;
        if magnitude > MAX_MAGNITUDE {
            return Err(NumberError::Overflow);
        }
        if magnitude < MIN_MAGNITUDE {
            return Err(NumberError::Underflow);
        }
        if digits > MAX_DIGITS {
            return Err(NumberError::TooPrecise);
        }
        let exponent = i32::try_from(exponent).map_err(|_| NumberError::Overflow)?;
        Ok(Self {
            negative,
            coefficient,
            exponent,
        })
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        // 64 bits are at most 20 digits: always in range.
        Self::normal(false, value as u128, 0).unwrap_or(Self::ZERO)
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        let (negative, digits, exponent) =
            split(text).ok_or_else(|| NumberError::NotNumeric(text.to_owned()))?;
        let first = digits.iter().position(|digit| *digit != 0);
        let last = digits.iter().rposition(|digit| *digit != 0);
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(Self::ZERO);
        };
        let significant = &digits[first..=last];
        let exponent = exponent.saturating_add(length(digits.len() - 1 - last));
        let magnitude = exponent.saturating_add(length(significant.len()) - 1);
        if magnitude > MAX_MAGNITUDE {
            return Err(NumberError::Overflow);
        }
        if magnitude < MIN_MAGNITUDE {
            return Err(NumberError::Underflow);
        }
        if length(significant.len()) > i64::from(MAX_DIGITS) {
            return Err(NumberError::TooPrecise);
        }
        let coefficient = significant
            .iter()
            .fold(0, |sum: u128, digit| sum * 10 + u128::from(*digit));
        Self::normal(negative, coefficient, exponent)
    }
}

/// Sign, digits, and the exponent of the last digit.
fn split(text: &str) -> Option<(bool, Vec<u8>, i64)> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|byte| byte.is_ascii_digit().then(|| byte - b'0'))
        .collect::<Option<Vec<u8>>>()?;
    if digits.is_empty() {
        return None;
    }
    Some((
        negative,
        digits,
        exponent.saturating_sub(length(fraction.len())),
    ))
}

/// An exponent of any length; what is far out of range stays far out of range.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse::<i64>().unwrap_or(i64::MAX / 2);
    Some(if negative { -value } else { value })
}

fn length(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX / 4)
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let absolute = |a: &Self, b: &Self| {
            // The same first digit's exponent: left-align both coefficients to 38 digits.
            let aligned = |n: &Self| scale(n.coefficient, MAX_DIGITS - digits(n.coefficient));
            a.magnitude()
                .cmp(&b.magnitude())
                .then_with(|| aligned(a).cmp(&aligned(b)))
        };
        match (self.sign(), other.sign()) {
            (1, 1) => absolute(self, other),
            (-1, -1) => absolute(other, self),
            (mine, theirs) => mine.cmp(&theirs),
        }
    }
}

impl Number {
    fn sign(&self) -> i8 {
        match (self.coefficient, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Plain decimal notation, as the service answers it.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let digits = self.coefficient.to_string();
        let point = self.magnitude() + 1;
        match usize::try_from(point) {
            Ok(point) if point >= digits.len() => write!(f, "{digits:0<point$}"),
            Ok(point) if point > 0 => {
                write!(f, "{}.{}", &digits[..point], &digits[point..])
            }
            _ => {
                let width = digits.len() + point.unsigned_abs() as usize;
                write!(f, "0.{digits:0>width$}")
            }
        }
    }
}

/// At most 39, as u128::MAX has.
fn digits(coefficient: u128) -> u32 {
    coefficient.checked_ilog10().unwrap_or(0) + 1
}

/// The coefficient times a power of ten, or none if that needs more than 128 bits.
fn scale(coefficient: u128, power: u32) -> Option<u128> {
    10_u128.checked_pow(power)?.checked_mul(coefficient)
}

const MAX_DIGITS: u32 = 38;
const MAX_MAGNITUDE: i64 = 125;
const MIN_MAGNITUDE: i64 = -130;
