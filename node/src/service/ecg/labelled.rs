//! Recordings with the beats that cardiologists marked, as PhysioNet lays them out: headers, signals, `.atr`.

use std::ops::Range;
use std::path::Path;

use inference::ecg::{BeatClass, LabelledRecording};
use records::wfdb::{self, Annotation};

use super::super::problem::{Problem, Tried};
use super::super::records::read_sibling;
use super::{read_file, signal};

/// Recordings of the MIT-BIH Arrhythmia Database that are of one person (its directory: 201 and 202).
const SAME_PATIENT: [(&str, &str); 1] = [("202", "201")];

/// Reads all marked recordings of a folder, in order of their names; `progress` hears how many of how many are read.
///
/// # Errors
/// [`Problem`] when there is none, or one cannot be read.
pub(crate) fn labelled_recordings(
    folder: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<LabelledRecording>, Problem> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Problem::failed(format!("cannot read the folder {shown}")).because(error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".hea").map(str::to_owned)).collect();
    names.sort();
    if names.is_empty() {
        return Err(Problem::failed(format!("there is no recording in {shown}"))
            .next("name a folder with NAME.hea, its signal files and NAME.atr, such as PhysioNet's mitdb"));
    }
    let mut recordings = Vec::with_capacity(names.len());
    for name in &names {
        recordings.push(labelled(folder, name)?);
        progress(recordings.len(), names.len());
    }
    Ok(recordings)
}

fn labelled(folder: &Path, name: &str) -> Result<LabelledRecording, Problem> {
    let record = read_file(&folder.join(format!("{name}.hea")))?;
    let bytes = read_sibling(folder, &format!("{name}.atr")).ok_or_else(|| {
        Problem::failed(format!("{name}.atr is missing: nobody marked the beats of {name}"))
    })?;
    let annotations = wfdb::annotations(&bytes).tried("read the annotations")?;
    let signal = signal(&record)?;
    // Annotations count frames; beats count the samples of the leads.
    let scale = signal.sampling_rate_hz() / record.sampling_rate_hz;
    let sample = |annotation: &Annotation| (annotation.frame.max(0) as f64 * scale).round() as usize;
    let beat = |a: &Annotation| Some((sample(a), BeatClass::from_symbol(a.symbol())?));
    let patient =
        SAME_PATIENT.iter().find(|(record, _)| *record == name).map_or(name, |(_, patient)| patient);
    Ok(LabelledRecording {
        name: name.to_owned(),
        patient: patient.to_owned(),
        groups: groups(record.comments.first().map_or("", String::as_str)),
        beats: annotations.iter().filter_map(beat).collect(),
        excluded: flutter(annotations.iter().map(|a| (sample(a), a.symbol())), signal.len()),
        signal,
    })
}

/// The groups of the person whose age and sex begin a comment, as in `69 M 1085 1629 x1`.
fn groups(comment: &str) -> Vec<String> {
    /// Old age as the United Nations count it (World Population Ageing).
    const OLD_YEARS: u32 = 65;
    let mut words = comment.split_whitespace();
    let age = words.next().and_then(|word| word.parse::<u32>().ok());
    let age = age.map(|years| if years < OLD_YEARS { "under 65 years" } else { "65 years and older" });
    let sex = words.next().and_then(|word| match word {
        "F" => Some("women"),
        "M" => Some("men"),
        _ => None,
    });
    age.into_iter().chain(sex).map(str::to_owned).collect()
}

/// Stretches of ventricular flutter or fibrillation, between `[` and `]`; one that does not end lasts to the end.
fn flutter(marks: impl Iterator<Item = (usize, char)>, end: usize) -> Vec<Range<usize>> {
    let (mut stretches, mut begun) = (Vec::new(), None);
    for (sample, symbol) in marks {
        match symbol {
            '[' => begun = begun.or(Some(sample)),
            ']' => stretches.extend(begun.take().map(|from| from..sample)),
            _ => {}
        }
    }
    stretches.extend(begun.map(|from| from..end));
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_the_first_comment() {
        assert_eq!(groups("69 M 1085 1629 x1"), ["65 years and older", "men"]);
        assert_eq!(groups("-1 F 1960 2851 x1"), ["women"]);
        assert!(groups("Aldomet, Inderal").is_empty() && groups("").is_empty());
    }

    #[test]
    fn flutter_lies_between_its_marks() {
        let marks = [(10, '['), (20, '!'), (30, ']'), (50, 'N'), (60, '[')];
        let stretches = flutter(marks.into_iter(), 100);
        assert_eq!(stretches, [10..30, 60..100]);
    }
}
