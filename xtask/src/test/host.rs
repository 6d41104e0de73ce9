//! The tests that need no board: `cargo test` of all crates that run here, counted.

use std::time::Instant;

use super::tally::Tally;
use crate::build;

/// Runs them and counts each.
pub fn run(filter: Option<&str>, tally: &mut Tally) {
    let begin = Instant::now();
    let mut command = build::cargo();
    command.args(["test", "--quiet", "--no-fail-fast"]);
    if let Some(filter) = filter {
        command.args(["--", filter]);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return tally.add("host tests", &Err(format!("cannot start cargo: {error}")), begin.elapsed()),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let (passed, failed) = counts(&text);
    tally.passed += passed;
    tally.failed += failed;
    println!("host tests: {passed} passed, {failed} failed ({:.1} s)", begin.elapsed().as_secs_f64());
    if failed > 0 || !output.status.success() {
        print!("{text}");
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    if !output.status.success() && failed == 0 {
        tally.add("host tests", &Err(format!("cargo test ended with {}", output.status)), begin.elapsed());
    }
}

/// Sums the result lines of all test programs.
fn counts(text: &str) -> (u64, u64) {
    let results = text.lines().filter_map(|line| line.trim().strip_prefix("test result: "));
    results.fold((0, 0), |(passed, failed), line| {
        (passed + count_before(line, " passed"), failed + count_before(line, " failed"))
    })
}

fn count_before(line: &str, word: &str) -> u64 {
    let before = line.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn results_of_all_programs_are_summed() {
        let text = "\nrunning 3 tests\n...\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
                    x\ntest result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(counts(text), (15, 2));
        assert_eq!(counts("error: could not compile"), (0, 0));
    }
}
