//! What stored records of a person say to the fields of a model: never out of another source than the person's own, never
//! a value whose unit is not known, and with the day of each.

use inference::risk::{Field, Fields, Supply, Value as Known, Values};
use jiff::civil::Date;
use records::{Query, Source};
use serde_json::Value;

use super::super::Node;
use super::super::problem::{Problem, Tried};
use super::super::records::{no_such_resource, query_problem};

/// Observations that are looked at for one field, the newest first.
const MAX_OBSERVATIONS: usize = 20;
/// Encounters that are counted, the newest first.
const MAX_ENCOUNTERS: usize = 1_000;
/// The year before a stay, in days.
const YEAR_DAYS: i32 = 365;
/// States in which an Observation may be used (FHIR R4, ObservationStatus).
const FIRM: [&str; 3] = ["final", "amended", "corrected"];
/// Classes of a stay in hospital (HL7 v3 ActCode).
const INPATIENT: [&str; 3] = ["IMP", "ACUTE", "NONAC"];

/// What is known of a field, and where from.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) field: usize,
    pub(super) source: String,
    pub(super) date: Option<Date>,
}

/// A stored value that is not used: place of the field, record, why.
pub(super) type SetAside = (usize, String, String);

/// What records of a person say.
pub(super) struct Gathered {
    pub(super) values: Values,
    pub(super) told: Vec<Told>,
    pub(super) set_aside: Vec<SetAside>,
    /// Whose copies these are.
    pub(super) source: Source,
    /// Records that were opened.
    pub(super) opened: u64,
    /// Whether the records say that the person has died.
    pub(super) died: bool,
}

/// A stay or a visit.
struct Visit {
    id: String,
    class: String,
    finished: bool,
    start: Date,
    end: Option<Date>,
}

struct Gathering<'a> {
    node: &'a Node,
    patient: &'a str,
    today: Date,
    gathered: Gathered,
}

impl Node {
    /// Values of a person's stored records.
    ///
    /// # Errors
    /// [`Problem`] when there is no such Patient, or a record is damaged.
    pub(super) fn gather(
        &self,
        fields: &Fields,
        patient: &str,
        source: Option<Source>,
        today: Date,
    ) -> Result<Gathered, Problem> {
        let record = self.find("Patient", patient, source)?;
        let source = self.read_index().source(&record).ok_or_else(no_such_resource)?;
        let stored = self.stored(&record)?.ok_or_else(no_such_resource)?;
        let person: Value = serde_json::from_str(stored.resource.text()).tried("read the record")?;
        let dead = |name: &str| !matches!(person.get(name), None | Some(Value::Null | Value::Bool(false)));
        let gathered = Gathered {
            values: Values::none(fields),
            told: Vec::new(),
            set_aside: Vec::new(),
            source,
            opened: 1,
            died: dead("deceasedBoolean") || dead("deceasedDateTime"),
        };
        let mut gathering = Gathering { node: self, patient, today, gathered };
        let visits = if fields.fields.iter().any(counts_visits) { gathering.visits()? } else { Vec::new() };
        for (at, field) in fields.fields.iter().enumerate() {
            let Some(supply) = &field.supply else { continue };
            match supply {
                Supply::Age | Supply::Sex => gathering.of_person(at, field, supply, &person),
                Supply::Observation { loinc, panels, .. } => {
                    gathering.observation(at, field, supply, loinc, panels)?;
                }
                Supply::StayDays | Supply::EncountersYearBefore { .. } => {
                    gathering.of_visits(at, field, supply, &visits);
                }
            }
        }
        Ok(gathering.gathered)
    }
}

fn counts_visits(field: &Field) -> bool {
    matches!(field.supply, Some(Supply::StayDays | Supply::EncountersYearBefore { .. }))
}

impl Gathering<'_> {
    /// The newest resources of a type, of this person and this source only.
    fn resources(&mut self, query: &str, most: usize) -> Result<Vec<Value>, Problem> {
        let (kind, rest) = query.split_once('?').unwrap_or((query, ""));
        let source = self.gathered.source;
        let query = format!(
            "{kind}?patient={}&_source={source}&_sort=-date&_count={most}{}{rest}",
            self.patient,
            if rest.is_empty() { "" } else { "&" }
        );
        let query = Query::parse(&query).map_err(query_problem)?;
        let page = self.node.read_index().search(&query).map_err(query_problem)?;
        let mut resources = Vec::with_capacity(page.ids.len());
        for id in &page.ids {
            let Some(stored) = self.node.stored(id)? else { continue };
            self.gathered.opened += 1;
            resources.push(serde_json::from_str(stored.resource.text()).tried("read a stored record")?);
        }
        Ok(resources)
    }

    fn take(&mut self, field: usize, value: Known, source: String, date: Option<Date>) {
        self.gathered.values.set(field, Some(value));
        self.gathered.told.push(Told { field, source, date });
    }

    /// A number of the program's own counting, as far as the field takes it.
    fn take_number(&mut self, at: usize, field: &Field, number: f64, source: String, date: Option<Date>) {
        match field.quantity(number, &field.unit) {
            Ok(value) => self.take(at, value, source, date),
            Err(error) => self.gathered.set_aside.push((at, source, error.to_string())),
        }
    }

    fn of_person(&mut self, at: usize, field: &Field, supply: &Supply, person: &Value) {
        let source = format!("Patient/{}", self.patient);
        if *supply == Supply::Age {
            let Some(born) = person["birthDate"].as_str().and_then(date) else { return };
            let before = (self.today.month(), self.today.day()) < (born.month(), born.day());
            let years = i32::from(self.today.year()) - i32::from(born.year()) - i32::from(before);
            self.take_number(at, field, f64::from(years), source, None);
            return;
        }
        // Other genders were not learned from: then sex is not known to the model, rather than guessed.
        let sex = person["gender"].as_str().filter(|sex| ["female", "male"].contains(sex));
        if let Some(Ok(Some(value))) = sex.map(|sex| field.read(sex)) {
            self.take(at, value, source, None);
        }
    }

    fn observation(
        &mut self,
        at: usize,
        field: &Field,
        supply: &Supply,
        loinc: &[String],
        panels: &[String],
    ) -> Result<(), Problem> {
        let codes: Vec<String> =
            loinc.iter().chain(panels).map(|code| format!("http://loinc.org|{code}")).collect();
        let found = self.resources(&format!("Observation?code={}", codes.join(",")), MAX_OBSERVATIONS)?;
        for observation in found {
            let status = observation["status"].as_str().unwrap_or_default();
            let Some(quantity) = quantity(&observation, loinc).filter(|_| FIRM.contains(&status)) else {
                continue;
            };
            let source = format!("Observation/{}", observation["id"].as_str().unwrap_or_default());
            let day = ["effectiveDateTime", "effectiveInstant", "issued"]
                .into_iter()
                .find_map(|name| observation[name].as_str())
                .or_else(|| observation["effectivePeriod"]["start"].as_str())
                .and_then(date);
            let read = match day {
                None => Err("it has no date".to_owned()),
                Some(day) if day > self.today => Err("it is dated in the future".to_owned()),
                Some(_) => value_of(field, supply, quantity),
            };
            match read {
                Ok(value) => {
                    self.take(at, value, source, day);
                    return Ok(());
                }
                Err(reason) => self.gathered.set_aside.push((at, source, reason)),
            }
        }
        Ok(())
    }

    fn visits(&mut self) -> Result<Vec<Visit>, Problem> {
        let visits = self.resources("Encounter", MAX_ENCOUNTERS)?.into_iter().filter_map(|it| {
            Some(Visit {
                id: it["id"].as_str()?.to_owned(),
                class: it["class"]["code"].as_str()?.to_owned(),
                finished: it["status"] == "finished",
                start: it["period"]["start"].as_str().and_then(date)?,
                end: it["period"]["end"].as_str().and_then(date),
            })
        });
        Ok(visits.collect())
    }

    /// The newest stay that ended, and what came in the year before it.
    fn of_visits(&mut self, at: usize, field: &Field, supply: &Supply, visits: &[Visit]) {
        let ended = |visit: &&Visit| {
            visit.finished
                && INPATIENT.contains(&visit.class.as_str())
                && visit.end.is_some_and(|end| end >= visit.start && end <= self.today)
        };
        let Some(stay) = visits.iter().filter(ended).max_by_key(|visit| visit.end) else { return };
        let Some(end) = stay.end else { return };
        let source = format!("Encounter/{}", stay.id);
        let days_apart = |from: Date, to: Date| from.until(to).map_or(0, |span| span.get_days());
        match supply {
            Supply::EncountersYearBefore { class } => {
                let same = |visit: &&Visit| {
                    let of_class = visit.class == *class
                        || (class == "IMP" && INPATIENT.contains(&visit.class.as_str()));
                    let apart = days_apart(visit.start, stay.start);
                    visit.finished && of_class && visit.start < stay.start && apart <= YEAR_DAYS
                };
                let count = visits.iter().filter(same).count();
                let source = format!("counted in the year before {source}");
                self.take_number(at, field, count as f64, source, Some(stay.start));
            }
            _ => {
                self.take_number(at, field, f64::from(days_apart(stay.start, end).max(1)), source, Some(end));
            }
        }
    }
}

/// The quantity of an Observation, its own or that of the component with one of these codes.
fn quantity<'a>(observation: &'a Value, loinc: &[String]) -> Option<&'a Value> {
    let coded = |it: &Value| {
        let codings = it["code"]["coding"].as_array().map(Vec::as_slice).unwrap_or_default();
        codings.iter().any(|coding| {
            coding["system"] == "http://loinc.org"
                && coding["code"].as_str().is_some_and(|code| loinc.iter().any(|known| known == code))
        })
    };
    let own = Some(observation).filter(|it| coded(it)).and_then(|it| it.get("valueQuantity"));
    let part = || {
        let parts = observation["component"].as_array()?;
        parts.iter().find(|it| coded(it))?.get("valueQuantity")
    };
    own.or_else(part)
}

/// A stored quantity as the field takes it, or why not.
fn value_of(field: &Field, supply: &Supply, quantity: &Value) -> Result<Known, String> {
    if quantity.get("comparator").is_some() {
        return Err("it is only a bound, with a comparator".to_owned());
    }
    let number = quantity["value"].as_f64().ok_or("it is no number")?;
    let unit = quantity["code"].as_str().or(quantity["unit"].as_str()).unwrap_or_default();
    let Supply::Observation { above, bands, units, .. } = supply else {
        return Err("it is not asked".to_owned());
    };
    if above.is_none() && bands.is_empty() {
        return field.quantity(number, unit).map_err(|error| error.to_string());
    }
    let factor = units.iter().find(|it| it.unit == unit).map(|it| it.factor);
    let number =
        number * factor.ok_or_else(|| format!("{} is in a unit that is not read here", field.name))?;
    let name = match above {
        Some(above) if number > *above => Some("yes"),
        Some(_) => Some("no"),
        None => bands.iter().find(|(_, end)| number <= *end).map(|(name, _)| name.as_str()),
    };
    let read =
        name.and_then(|name| field.read(name).ok().flatten()).filter(|_| number.is_finite() && number > 0.0);
    read.ok_or_else(|| format!("{} is no such value", field.name))
}

/// The day of a FHIR date, dateTime or instant; the first of what it leaves open.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.get(..text.len().min(10))?.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let part = |text: Option<&str>| text.map_or(Some(1), |text| text.parse().ok());
    let month = part(parts.next())?;
    Date::new(year, month, part(parts.next())?).ok()
}

#[cfg(test)]
mod tests {
    use inference::risk::{HEART_MODEL, READMISSION_MODEL};
    use serde_json::json;

    use super::*;

    fn field(model: &str, name: &str) -> Field {
        let fields = Fields::of(model).expect("fields");
        fields.fields[fields.find(name).expect("a field")].clone()
    }

    fn read(field: &Field, quantity: &Value) -> Result<String, String> {
        let supply = field.supply.clone().expect("a supply");
        value_of(field, &supply, quantity).map(|value| field.shown(value))
    }

    #[test]
    fn units_are_converted_and_unknown_ones_refused() {
        let cholesterol = field(HEART_MODEL, "cholesterol");
        let of = |value: f64, code: &str| read(&cholesterol, &json!({ "value": value, "code": code }));
        assert_eq!(of(200.0, "mg/dL").as_deref(), Ok("200 mg/dL"));
        assert_eq!(of(5.0, "mmol/L").as_deref(), Ok("193.35 mg/dL"));
        for (value, code) in [(5.0, "mol/L"), (5.0, ""), (5.0, "mg/dL"), (f64::MAX, "mmol/L")] {
            assert!(of(value, code).is_err(), "{value} {code}");
        }
        assert!(read(&cholesterol, &json!({ "value": 200, "code": "mg/dL", "comparator": "<" })).is_err());
        assert!(read(&cholesterol, &json!({ "value": "200", "code": "mg/dL" })).is_err());
    }

    #[test]
    fn numbers_become_yes_no_and_bands() {
        let sugar = field(HEART_MODEL, "fasting-sugar-high");
        let of = |value: f64, code: &str| read(&sugar, &json!({ "value": value, "code": code }));
        assert_eq!(of(121.0, "mg/dL").as_deref(), Ok("yes"));
        assert_eq!(of(120.0, "mg/dL").as_deref(), Ok("no"));
        assert_eq!(of(7.0, "mmol/L").as_deref(), Ok("yes"));
        assert!(of(-1.0, "mg/dL").is_err());
        let hba1c = field(READMISSION_MODEL, "hba1c");
        let of = |value: f64| read(&hba1c, &json!({ "value": value, "unit": "%" }));
        assert_eq!(of(6.5).as_deref(), Ok("normal"));
        assert_eq!(of(7.5).as_deref(), Ok("above 7 %"));
        assert_eq!(of(9.9).as_deref(), Ok("above 8 %"));
        assert!(read(&hba1c, &json!({ "value": 58, "code": "mmol/mol" })).is_err());
    }

    #[test]
    fn components_are_found_by_their_own_code() {
        let systolic = ["8480-6".to_owned()];
        let coding = |code: &str| json!({ "coding": [{ "system": "http://loinc.org", "code": code }] });
        let panel = json!({ "code": coding("85354-9"), "component": [
            { "code": coding("8462-4"), "valueQuantity": { "value": 80 } },
            { "code": coding("8480-6"), "valueQuantity": { "value": 130 } } ] });
        assert_eq!(quantity(&panel, &systolic).expect("there")["value"], 130);
        assert!(quantity(&json!({ "code": coding("8462-4"), "valueQuantity": {} }), &systolic).is_none());
    }

    #[test]
    fn days_of_all_lengths_are_read() {
        assert_eq!(date("2020-03-04T05:06:07Z"), Some(Date::constant(2020, 3, 4)));
        assert_eq!(date("2020-03"), Some(Date::constant(2020, 3, 1)));
        assert_eq!(date("2020"), Some(Date::constant(2020, 1, 1)));
        for wrong in ["", "yesterday", "2020-13-01", "2020-02-30", "２０２０-01-01"] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }
}
