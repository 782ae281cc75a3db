//! Forgetting with restricted heads (Smith et al., 2023) and by class (Zhuang et al., 2024).

use consilience_core::{Error, Result};

/// Global forgetting F_G: `1/(K-1) sum_{i>=1} sum_{n<i} |T_n| / |T_0..i| (R[n][n] - R[i][n])`, with `accuracies[i][n]` = R the
/// accuracy on task n after task i among the classes of tasks 0 to n, and `classes[n]` = |T_n| how many classes task n has.
/// Positive means forgotten.
///
/// # Errors
/// [`Error::Shape`] unless `accuracies` is square with one row for each of at least 2 tasks.
pub fn global_forgetting(accuracies: &[Vec<f64>], classes: &[usize]) -> Result<f64> {
    let tasks = square(accuracies)?;
    if classes.len() != tasks {
        return Err(Error::shape("classes", [classes.len()], format!("[{tasks}], one for each task")));
    }
    let at = |i: usize, n: usize| accuracies.get(i).and_then(|row| row.get(n)).copied().unwrap_or(f64::NAN);
    let mut sum = 0.0;
    for i in 1..tasks {
        let all: usize = classes.iter().take(i + 1).sum();
        for (n, count) in classes.iter().enumerate().take(i) {
            sum += *count as f64 / all.max(1) as f64 * (at(n, n) - at(i, n));
        }
    }
    Ok(sum / (tasks - 1) as f64)
}

/// Local forgetting F_L: `1/(K-1) sum_{n<K-1} (A[n][n] - A[K-1][n])` of accuracies among each task's own classes. Positive
/// means forgotten.
///
/// # Errors
/// Those of [`global_forgetting`].
pub fn local_forgetting(accuracies: &[Vec<f64>]) -> Result<f64> {
    let tasks = square(accuracies)?;
    let at = |i: usize, n: usize| accuracies.get(i).and_then(|row| row.get(n)).copied().unwrap_or(f64::NAN);
    Ok((0..tasks - 1).map(|n| at(n, n) - at(tasks - 1, n)).sum::<f64>() / (tasks - 1) as f64)
}

/// Forgetting by class: the mean of (best before the last task − last) over the classes that were ever recognised before it.
/// `accuracies[i][c]` is the accuracy on class c after task i, `None` where it has no test sample. 0 where no class was.
///
/// # Errors
/// [`Error::Data`] on fewer than 2 tasks.
pub fn forgetting_of_classes(accuracies: &[Vec<Option<f64>>]) -> Result<f64> {
    let Some((last, before)) = accuracies.split_last().filter(|(_, before)| !before.is_empty()) else {
        return Err(Error::data("class accuracies", "forgetting needs at least 2 tasks"));
    };
    let mut falls = Vec::new();
    for (class, last) in last.iter().enumerate() {
        let best = before.iter().filter_map(|row| row.get(class).copied().flatten()).fold(0.0, f64::max);
        if let Some(last) = last.filter(|_| best > 0.0) {
            falls.push(best - last);
        }
    }
    Ok(if falls.is_empty() { 0.0 } else { falls.iter().sum::<f64>() / falls.len() as f64 })
}

fn square(accuracies: &[Vec<f64>]) -> Result<usize> {
    let tasks = accuracies.len();
    match tasks >= 2 && accuracies.iter().all(|row| row.len() == tasks) {
        true => Ok(tasks),
        false => Err(Error::shape("accuracies", [tasks], "a square matrix of at least 2 tasks")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_never_changes_forgets_nothing() {
        let constant = vec![vec![0.4, 0.7, 0.2]; 3];
        assert_eq!(local_forgetting(&constant).unwrap(), 0.0);
        assert_eq!(global_forgetting(&constant, &[2, 2, 2]).unwrap(), 0.0);
        assert!(local_forgetting(&[vec![0.5]]).is_err());
    }

    #[test]
    fn falls_count_by_their_share_of_classes() {
        let r = vec![vec![0.9, 0.0], vec![0.5, 0.8]];
        assert!((global_forgetting(&r, &[3, 1]).unwrap() - 0.75 * 0.4).abs() < 1e-12);
        assert!((local_forgetting(&r).unwrap() - 0.4).abs() < 1e-12);
    }

    #[test]
    fn classes_never_recognised_do_not_count() {
        let rows = vec![vec![Some(0.8), Some(0.0), None], vec![Some(0.6), Some(0.9), None]];
        assert!((forgetting_of_classes(&rows).unwrap() - 0.2).abs() < 1e-12);
        assert!(forgetting_of_classes(&rows[..1]).is_err());
    }
}
