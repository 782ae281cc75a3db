//! Times single runs for `bench/optimization.py`, and prints JSON:
//!
//!     optimization_timing lasso|logistic FILE L1 TOLERANCE     block coordinate descent on a LIBSVM file, without intercept
//!     optimization_timing cbo PARTICLES DIMENSIONS STEPS       consensus-based optimisation of Rastrigin's function

use std::time::Instant;

use consilience_core::{Error, Result, Silent};
use consilience_optimization::block_coordinate::{BlockCoordinateDescent, LinearModel, Penalty};
use consilience_optimization::consensus::{ConsensusOptimization, Start};
use consilience_optimization::problems::RegressionData;
use consilience_optimization::test_functions::TestFunction;

fn number<T: std::str::FromStr>(arguments: &[String], at: usize) -> Result<T> {
    let text = arguments.get(at).map_or("", String::as_str);
    text.parse().map_err(|_| Error::parameter(format!("argument {at}"), format!("{text:?}"), "a number"))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let problem = arguments.get(1).map_or("", String::as_str);
    match problem {
        "lasso" | "logistic" => {
            let path = arguments.get(2).map_or("", String::as_str);
            let data = RegressionData::read(path, None)?;
            let targets = data.numbers()?;
            let method =
                BlockCoordinateDescent { tolerance: number(&arguments, 4)?, ..BlockCoordinateDescent::sparse() };
            let penalty = Penalty::l1(data.design.columns(), number(&arguments, 3)?)?;
            let model = match problem {
                "lasso" => LinearModel::least_squares(data.design, targets)?,
                _ => LinearModel::logistic(data.design, targets)?,
            };
            let clock = Instant::now();
            let found = method.minimize(&model, &penalty, &Silent)?;
            let seconds = clock.elapsed().as_secs_f64();
            let support = found.x.iter().filter(|x| **x != 0.0).count();
            println!(
                "{{\"seconds\": {seconds}, \"objective\": {:?}, \"iterations\": {}, \"support\": {support}}}",
                found.objective, found.iterations
            );
        }
        "cbo" => {
            let d: usize = number(&arguments, 3)?;
            let method = ConsensusOptimization {
                particles: number(&arguments, 2)?,
                steps: number(&arguments, 4)?,
                tolerance: 0.0,
                ..Default::default()
            };
            let f = TestFunction::named("rastrigin-mild")?;
            let clock = Instant::now();
            let found = method.minimize(f, &Start::Normal { mean: vec![3.0; d], deviation: 2.0 }, &Silent)?;
            println!("{{\"seconds\": {}, \"objective\": {:?}}}", clock.elapsed().as_secs_f64(), found.value);
        }
        other => {
            return Err(Error::parameter("problem", format!("{other:?}"), "lasso, logistic or cbo"));
        }
    }
    Ok(())
}
