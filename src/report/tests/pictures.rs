//! The live area: what it shows, and that it fits.

use super::super::work::RowState;
use super::*;

const PLAIN: Paint = Paint { on: false };

async fn busy(count: usize) -> Doing {
    let mut stack = Stack::default();
    for index in 0..count {
        let name = format!("a-function-with-a-rather-long-name-{index}");
        stack.add(&format!("function.{index}"), Fake::<'f'>::missing(&name));
    }
    let mut work = Work::new(&planned(&stack, Goal::Up).await);
    for row in &mut work.rows {
        let now = Instant::now();
        let note = "waiting for the role to be assumable".to_owned();
        row.state = RowState::Doing { verb: "creating", begun: now, spoke: now, note };
    }
    Doing { phase: None, work: Some(work) }
}

#[tokio::test]
async fn it_fits_every_terminal() {
    let doing = busy(30).await;
    let later = Instant::now() + Duration::from_secs(75);
    for width in 2..160 {
        for height in [3, 10, 24, 60] {
            for on in [false, true] {
                let picture = terminal::picture(&doing, (width, height), later, Paint { on });
                let lines: Vec<_> = picture.lines().collect();
                assert!(lines.len() < height.max(4), "{width}x{height}:\n{picture}");
                for line in lines {
                    let columns = console::measure_text_width(line);
                    assert!(columns < width, "{width}x{height}: {columns}: {line}");
                }
            }
        }
    }
}

#[tokio::test]
async fn it_shows_what_is_under_way() {
    let mut doing = busy(3).await;
    if let Some(work) = &mut doing.work {
        work.rows[0].state = RowState::Done;
        work.rows[1].state = RowState::Failed;
        work.rows[2].name = "web".to_owned();
    }
    let now = Instant::now() + Duration::from_millis(2_350);
    let picture = terminal::picture(&doing, (120, 24), now, PLAIN);
    let lines: Vec<_> = picture.lines().collect();
    let [row, total] = lines[..] else { panic!("{picture}") };
    let row = row.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic());
    let expected = "function  web                                   creating    2.4 s  \
                    waiting for the role to be assumable";
    assert_eq!(row.replace("2.3 s", "2.4 s"), expected);
    assert_eq!(
        total.replace("2.3 s", "2.4 s"),
        format!("  {}{}  1/3  1 failed   2.4 s", "━".repeat(8), "─".repeat(16))
    );
}

#[test]
fn a_build_has_a_bar() {
    let mut phase = Phase::new("building the functions");
    phase.crates = Some((150, 300, "syn".to_owned()));
    let now = phase.begun + Duration::from_secs(62);
    let doing = Doing { phase: Some(phase), work: None };
    assert_eq!(
        terminal::picture(&doing, (90, 24), now, PLAIN),
        format!(
            "⠋ building the functions  {}{}  150/300 syn  1m 02s",
            "━".repeat(12),
            "─".repeat(12)
        )
    );
}
