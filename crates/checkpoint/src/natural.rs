//! Natural order of names: `layers.2` before `layers.10`.

use std::cmp::Ordering;

/// Compares names so that runs of digits count as numbers; a total order, ties broken bytewise.
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        match (x.first(), y.first()) {
            (None, None) => return a.cmp(b),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(c), Some(d)) if c.is_ascii_digit() && d.is_ascii_digit() => {
                let (m, n) = (digits(x), digits(y));
                let (p, q) = (trimmed(&x[..m]), trimmed(&y[..n]));
                match p.len().cmp(&q.len()).then_with(|| p.cmp(q)) {
                    Ordering::Equal => (x, y) = (&x[m..], &y[n..]),
                    order => return order,
                }
            }
            (Some(c), Some(d)) if c == d => (x, y) = (&x[1..], &y[1..]),
            (Some(c), Some(d)) => return c.cmp(d),
        }
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn trimmed(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    &digits[zeros.min(digits.len().saturating_sub(1))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["h.10.w", "h.2.w", "h.02.w", "a", "h.1.w", "h.1", "", "h.99999999999999999999999.w"];
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(names, ["", "a", "h.1", "h.1.w", "h.02.w", "h.2.w", "h.10.w", "h.99999999999999999999999.w"]);
    }

    proptest::proptest! {
        #[test]
        fn it_is_a_total_order(names in proptest::collection::vec("[0-9a./]{0,5}", 3)) {
            let [a, b, c] = [&names[0], &names[1], &names[2]];
            proptest::prop_assert_eq!(natural_cmp(a, b), natural_cmp(b, a).reverse());
            proptest::prop_assert_eq!(natural_cmp(a, b) == Ordering::Equal, a == b);
            if natural_cmp(a, b).is_le() && natural_cmp(b, c).is_le() {
                proptest::prop_assert!(natural_cmp(a, c).is_le());
            }
        }
    }
}
