//! Which search parameters a resource type has and where in the resource their values are.
//!
//! Source: the search parameter registry of FHIR R4 (<https://hl7.org/fhir/R4/searchparameter-registry.html>).
//! Choice elements are written out; `|` separates paths, a blank separates resource types.

use std::collections::HashMap;
use std::sync::LazyLock;

/// How the values of a parameter are compared (FHIR R4, search parameter types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    Date,
    Reference,
    Text,
}

/// One search parameter of one resource type.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// Position of the name in the registry below: small, and the same for all resource types.
    pub(crate) number: u8,
    pub(crate) kind: Kind,
    pub(crate) paths: Vec<Vec<&'static str>>,
}

/// The parameters of `resource_type`; none for a type this table does not know.
pub(crate) fn of_type(resource_type: &str) -> &'static [Parameter] {
    BY_TYPE.get(resource_type).map_or(&[], Vec::as_slice)
}

/// The parameter `name` of `resource_type`.
pub(crate) fn find(resource_type: &str, name: &str) -> Option<&'static Parameter> {
    of_type(resource_type).iter().find(|parameter| parameter.name == name)
}

/// The date that orders resources of this type in a person's history.
pub(crate) fn main_date(resource_type: &str) -> Option<&'static Parameter> {
    of_type(resource_type).iter().find(|parameter| parameter.kind == Kind::Date)
}

/// The registry number of `name`.
pub(crate) fn number(name: &str) -> Option<u8> {
    REGISTRY.iter().position(|row| row.0 == name).and_then(|at| u8::try_from(at).ok())
}

/// The name that has this registry number.
pub(crate) fn name(number: u8) -> &'static str {
    REGISTRY.get(usize::from(number)).map_or("", |row| row.0)
}

/// Parameters whose tokens say what a resource is about; a grant's codes are compared with them.
pub(crate) const CODE_NAMES: &[&str] = &["code", "type", "vaccine-code"];
/// The parameter whose tokens a grant's categories are compared with.
pub(crate) const CATEGORY_NAME: &str = "category";

static BY_TYPE: LazyLock<HashMap<&'static str, Vec<Parameter>>> = LazyLock::new(|| {
    let mut all: HashMap<&'static str, Vec<Parameter>> = HashMap::new();
    for (at, (name, kind, rows)) in REGISTRY.iter().enumerate() {
        let number = u8::try_from(at).expect("the registry has fewer than 256 rows");
        for (types, paths) in *rows {
            for resource_type in types.split(' ') {
                let paths = paths.split('|').map(|path| path.split('.').collect()).collect();
                let parameter = Parameter { name, number, kind: *kind, paths };
                all.entry(resource_type).or_default().push(parameter);
            }
        }
    }
    all
});

type Row = (&'static str, Kind, &'static [(&'static str, &'static str)]);

// Among the dates of one type the first row is its main date.
const REGISTRY: &[Row] = &[
    (
        "patient",
        Kind::Reference,
        &[
            (
                "Account Basic CarePlan CareTeam ChargeItem ClinicalImpression Communication CommunicationRequest Composition Condition DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Encounter Flag Goal GuidanceResponse ImagingStudy Invoice List MeasureReport Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation Procedure QuestionnaireResponse RequestGroup RiskAssessment ServiceRequest Specimen",
                "subject",
            ),
            (
                "AllergyIntolerance BodyStructure Claim ClaimResponse Consent CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Immunization ImmunizationEvaluation ImmunizationRecommendation MolecularSequence NutritionOrder RelatedPerson SupplyDelivery VisionPrescription",
                "patient",
            ),
            ("Appointment", "participant.actor"),
            ("AppointmentResponse", "actor"),
            ("AuditEvent", "agent.who|entity.what"),
            ("Coverage", "beneficiary"),
            ("EnrollmentRequest", "candidate"),
            ("Person", "link.target"),
            ("Provenance", "target"),
            ("ResearchSubject", "individual"),
            ("Task", "for"),
        ],
    ),
    (
        "subject",
        Kind::Reference,
        &[
            (
                "Account AdverseEvent Basic CarePlan CareTeam ChargeItem ClinicalImpression Communication CommunicationRequest Composition Condition DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Encounter Flag Goal GuidanceResponse ImagingStudy Invoice List MeasureReport Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation Procedure QuestionnaireResponse RequestGroup RiskAssessment ServiceRequest Specimen",
                "subject",
            ),
            ("SupplyRequest", "deliverTo"),
            ("Task", "for"),
        ],
    ),
    (
        "encounter",
        Kind::Reference,
        &[
            (
                "CarePlan CareTeam ClinicalImpression Communication CommunicationRequest Composition Condition DeviceRequest DiagnosticReport Flag ImagingStudy List Media MedicationRequest NutritionOrder Observation Procedure QuestionnaireResponse RequestGroup RiskAssessment ServiceRequest Task VisionPrescription",
                "encounter",
            ),
            ("DocumentReference", "context.encounter"),
            ("Claim ExplanationOfBenefit", "item.encounter"),
        ],
    ),
    (
        "context",
        Kind::Reference,
        &[("ChargeItem MedicationAdministration MedicationDispense MedicationStatement", "context")],
    ),
    (
        "performer",
        Kind::Reference,
        &[
            ("DeviceRequest DiagnosticReport Observation ServiceRequest", "performer"),
            (
                "Immunization ImagingStudy MedicationAdministration MedicationDispense Procedure",
                "performer.actor",
            ),
        ],
    ),
    (
        "requester",
        Kind::Reference,
        &[(
            "CommunicationRequest DeviceRequest MedicationRequest ServiceRequest SupplyRequest Task",
            "requester",
        )],
    ),
    (
        "participant",
        Kind::Reference,
        &[("Encounter", "participant.individual"), ("CareTeam", "participant.member")],
    ),
    (
        "practitioner",
        Kind::Reference,
        &[("PractitionerRole", "practitioner"), ("Appointment", "participant.actor")],
    ),
    (
        "author",
        Kind::Reference,
        &[("Composition DocumentManifest DocumentReference QuestionnaireResponse", "author")],
    ),
    (
        "based-on",
        Kind::Reference,
        &[
            (
                "CarePlan DiagnosticReport MedicationRequest Observation Procedure QuestionnaireResponse ServiceRequest Task",
                "basedOn",
            ),
            ("ImagingStudy", "basedOn"),
        ],
    ),
    (
        "part-of",
        Kind::Reference,
        &[(
            "CarePlan Communication Encounter MedicationStatement Observation Procedure QuestionnaireResponse Task",
            "partOf",
        )],
    ),
    ("result", Kind::Reference, &[("DiagnosticReport", "result")]),
    ("derived-from", Kind::Reference, &[("Observation", "derivedFrom")]),
    ("focus", Kind::Reference, &[("Observation Task", "focus")]),
    ("has-member", Kind::Reference, &[("Observation", "hasMember")]),
    ("target", Kind::Reference, &[("Provenance", "target")]),
    (
        "organization",
        Kind::Reference,
        &[
            ("Patient", "managingOrganization"),
            ("PractitionerRole", "organization"),
            ("EpisodeOfCare", "managingOrganization"),
        ],
    ),
    ("general-practitioner", Kind::Reference, &[("Patient", "generalPractitioner")]),
    ("service-provider", Kind::Reference, &[("Encounter", "serviceProvider")]),
    (
        "location",
        Kind::Reference,
        &[("Encounter", "location.location"), ("Immunization Procedure", "location")],
    ),
    ("questionnaire", Kind::Reference, &[("QuestionnaireResponse", "questionnaire")]),
    (
        "code",
        Kind::Token,
        &[
            ("AllergyIntolerance", "code|reaction.substance"),
            (
                "Basic ChargeItem Condition DiagnosticReport DetectedIssue List Medication Observation Procedure Questionnaire ServiceRequest Substance Task",
                "code",
            ),
            (
                "MedicationAdministration MedicationDispense MedicationRequest MedicationStatement",
                "medicationCodeableConcept",
            ),
            ("DeviceRequest", "codeCodeableConcept"),
            ("FamilyMemberHistory", "condition.code"),
        ],
    ),
    ("vaccine-code", Kind::Token, &[("Immunization", "vaccineCode")]),
    (
        "type",
        Kind::Token,
        &[
            (
                "Account Bundle Composition Device DocumentManifest DocumentReference Encounter EpisodeOfCare Location Media Organization Specimen",
                "type",
            ),
            ("AuditEvent", "type"),
            ("Coverage", "type"),
        ],
    ),
    (
        "category",
        Kind::Token,
        &[
            (
                "AllergyIntolerance CarePlan CareTeam Communication CommunicationRequest Composition Condition Consent DiagnosticReport DocumentReference Goal Media MedicationDispense MedicationRequest MedicationStatement Observation Procedure ServiceRequest SupplyRequest",
                "category",
            ),
            ("Flag", "category"),
            ("AdverseEvent", "category"),
        ],
    ),
    ("combo-code", Kind::Token, &[("Observation", "code|component.code")]),
    ("component-code", Kind::Token, &[("Observation", "component.code")]),
    ("value-concept", Kind::Token, &[("Observation", "valueCodeableConcept")]),
    ("class", Kind::Token, &[("Encounter", "class")]),
    ("clinical-status", Kind::Token, &[("AllergyIntolerance Condition", "clinicalStatus")]),
    ("verification-status", Kind::Token, &[("AllergyIntolerance Condition", "verificationStatus")]),
    ("lifecycle-status", Kind::Token, &[("Goal", "lifecycleStatus")]),
    (
        "intent",
        Kind::Token,
        &[("CarePlan DeviceRequest MedicationRequest RequestGroup ServiceRequest Task", "intent")],
    ),
    (
        "priority",
        Kind::Token,
        &[("CommunicationRequest MedicationRequest RequestGroup ServiceRequest Task", "priority")],
    ),
    (
        "status",
        Kind::Token,
        &[(
            "Account Appointment CarePlan CareTeam ClaimResponse Claim ClinicalImpression Communication CommunicationRequest Composition Consent Coverage Device DiagnosticReport DocumentManifest DocumentReference Encounter EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag ImagingStudy Immunization Invoice List Location MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement NutritionOrder Observation Procedure Questionnaire QuestionnaireResponse RequestGroup ResearchStudy ResearchSubject ServiceRequest Specimen Substance SupplyDelivery SupplyRequest Task VisionPrescription",
            "status",
        )],
    ),
    ("gender", Kind::Token, &[("Patient Person Practitioner RelatedPerson", "gender")]),
    (
        "active",
        Kind::Token,
        &[("Organization Patient Practitioner PractitionerRole RelatedPerson", "active")],
    ),
    ("telecom", Kind::Token, &[("Patient Person Practitioner PractitionerRole RelatedPerson", "telecom")]),
    ("modality", Kind::Token, &[("ImagingStudy", "series.modality"), ("Media", "modality")]),
    (
        "identifier",
        Kind::Token,
        &[
            (
                "Account AllergyIntolerance Appointment AppointmentResponse Basic BodyStructure Bundle CarePlan CareTeam Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Condition Consent Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceRequest DeviceUseStatement DiagnosticReport DocumentReference Encounter EnrollmentRequest EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag Goal Group GuidanceResponse HealthcareService ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation Invoice List Location MeasureReport Media Medication MedicationDispense MedicationRequest MedicationStatement MolecularSequence NutritionOrder Observation Organization Patient Person Practitioner PractitionerRole Procedure Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchStudy ResearchSubject RiskAssessment Schedule ServiceRequest Slot Specimen Substance SupplyDelivery SupplyRequest Task VisionPrescription",
                "identifier",
            ),
            ("DocumentManifest", "masterIdentifier|identifier"),
            ("MedicationAdministration", "identifier"),
        ],
    ),
    (
        "date",
        Kind::Date,
        &[
            ("AllergyIntolerance", "recordedDate"),
            ("CarePlan CareTeam Encounter EpisodeOfCare Flag", "period"),
            (
                "AdverseEvent ClinicalImpression Composition DocumentReference FamilyMemberHistory Invoice List MeasureReport",
                "date",
            ),
            ("Appointment", "start"),
            ("AuditEvent", "recorded"),
            ("Consent", "dateTime"),
            ("DiagnosticReport", "effectiveDateTime|effectivePeriod"),
            ("Immunization", "occurrenceDateTime"),
            ("Observation", "effectiveDateTime|effectivePeriod|effectiveInstant|effectiveTiming"),
            ("Procedure", "performedDateTime|performedPeriod"),
            ("RiskAssessment", "occurrenceDateTime|occurrencePeriod"),
            ("SupplyRequest", "authoredOn"),
        ],
    ),
    ("onset-date", Kind::Date, &[("Condition", "onsetDateTime|onsetPeriod")]),
    ("recorded-date", Kind::Date, &[("Condition", "recordedDate")]),
    ("abatement-date", Kind::Date, &[("Condition", "abatementDateTime|abatementPeriod")]),
    ("authoredon", Kind::Date, &[("MedicationRequest", "authoredOn")]),
    ("authored", Kind::Date, &[("QuestionnaireResponse", "authored"), ("ServiceRequest", "authoredOn")]),
    ("authored-on", Kind::Date, &[("CommunicationRequest DeviceRequest Task", "authoredOn")]),
    (
        "occurrence",
        Kind::Date,
        &[("CommunicationRequest ServiceRequest", "occurrenceDateTime|occurrencePeriod|occurrenceTiming")],
    ),
    ("issued", Kind::Date, &[("DiagnosticReport", "issued")]),
    ("effective-time", Kind::Date, &[("MedicationAdministration", "effectiveDateTime|effectivePeriod")]),
    ("effective", Kind::Date, &[("MedicationStatement", "effectiveDateTime|effectivePeriod")]),
    ("whenhandedover", Kind::Date, &[("MedicationDispense", "whenHandedOver")]),
    ("whenprepared", Kind::Date, &[("MedicationDispense", "whenPrepared")]),
    ("started", Kind::Date, &[("ImagingStudy", "started")]),
    (
        "created",
        Kind::Date,
        &[
            (
                "Claim ClaimResponse CoverageEligibilityRequest DocumentManifest ExplanationOfBenefit",
                "created",
            ),
            ("Media", "createdDateTime|createdPeriod"),
        ],
    ),
    ("start-date", Kind::Date, &[("Goal", "startDate")]),
    ("target-date", Kind::Date, &[("Goal", "target.dueDate")]),
    ("recorded", Kind::Date, &[("Provenance", "recorded")]),
    ("sent", Kind::Date, &[("Communication", "sent")]),
    ("received", Kind::Date, &[("Communication", "received")]),
    ("collected", Kind::Date, &[("Specimen", "collection.collectedDateTime|collection.collectedPeriod")]),
    ("datetime", Kind::Date, &[("NutritionOrder", "dateTime")]),
    ("datewritten", Kind::Date, &[("VisionPrescription", "dateWritten")]),
    ("timestamp", Kind::Date, &[("Bundle", "timestamp")]),
    ("birthdate", Kind::Date, &[("Patient Person RelatedPerson", "birthDate")]),
    ("death-date", Kind::Date, &[("Patient", "deceasedDateTime")]),
    (
        "name",
        Kind::Text,
        &[("Patient Person Practitioner RelatedPerson", "name"), ("Location Organization", "name|alias")],
    ),
    ("family", Kind::Text, &[("Patient Practitioner", "name.family")]),
    ("given", Kind::Text, &[("Patient Practitioner", "name.given")]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_own_name_and_no_type_twice() {
        for (at, row) in REGISTRY.iter().enumerate() {
            assert!(REGISTRY[..at].iter().all(|earlier| earlier.0 != row.0), "{} twice", row.0);
            let mut types: Vec<&str> = row.2.iter().flat_map(|(types, _)| types.split(' ')).collect();
            types.sort_unstable();
            assert!(types.windows(2).all(|pair| pair[0] != pair[1]), "{} repeats a type", row.0);
        }
        assert!(REGISTRY.len() < 256);
    }

    #[test]
    fn main_date_is_the_clinical_one() {
        assert_eq!(main_date("Observation").unwrap().name, "date");
        assert_eq!(main_date("Condition").unwrap().name, "onset-date");
        assert_eq!(main_date("Patient").unwrap().name, "birthdate");
        assert!(main_date("Organization").is_none());
    }
}
