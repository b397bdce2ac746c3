"""Sentences that anybody can label, and Open-I's reports against what its readers indexed."""

import pytest

from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.data.intake import check
from chexjax.data.sources.registry import SourceConfig, open_source
from chexjax.data.study import Rejected
from chexjax.data.text import TextRules
from chexjax.data.views import ViewRules
from chexjax.judges import rule_labels as rules
from chexjax.judges.rule_labels import rule_labels

EDEMA, EFFUSION, PNEUMOTHORAX = "Edema", "Pleural Effusion", "Pneumothorax"

SENTENCES = [
    # What is named is present.
    ("Small left pleural effusion.", {EFFUSION: 1}),
    ("Mild cardiomegaly with pulmonary vascular congestion.", {"Cardiomegaly": 1, EDEMA: 1}),
    ("Patchy opacity, likely atelectasis.", {"Lung Opacity": 1, "Atelectasis": 1}),
    ("A 1.5 cm nodule in the right base.", {"Lung Lesion": 1}),
    # Denials in front reach over lists, up to the end of the clause.
    ("No pneumothorax, effusion or edema.", {PNEUMOTHORAX: 0, EFFUSION: 0, EDEMA: 0}),
    ("There is no evidence of focal consolidation.", {"Consolidation": 0}),
    ("Lungs are clear without infiltrate or edema.", {"Lung Opacity": 0, EDEMA: 0}),
    ("The lungs are free of focal airspace disease.", {"Lung Opacity": 0}),
    ("No opacity to suggest pneumonia.", {"Lung Opacity": 0, "Pneumonia": 0}),
    ("Cardiomegaly without edema.", {"Cardiomegaly": 1, EDEMA: 0}),
    ("No effusion, but there is a fracture.", {EFFUSION: 0, "Fracture": 1}),
    ("No edema. Small effusion.", {EDEMA: 0, EFFUSION: 1}),
    ("No pneumothorax, the heart is enlarged.", {PNEUMOTHORAX: 0, "Cardiomegaly": 1}),
    ("Clear lungs apart from left atelectasis.", {"Atelectasis": 1}),
    # Denials behind.
    ("Pneumothorax is not seen.", {PNEUMOTHORAX: 0}),
    ("The effusion has resolved.", {EFFUSION: 0}),
    ("Rib fractures have been ruled out.", {"Fracture": 0}),
    # What looks like a denial.
    ("No change in the left effusion.", {EFFUSION: 1}),
    ("A nodule not seen on the prior examination.", {"Lung Lesion": 1}),
    ("Nondisplaced and non-displaced fractures.", {"Fracture": 1}),
    # Doubts.
    ("Opacity which may represent pneumonia.", {"Lung Opacity": 1, "Pneumonia": -1}),
    ("Pneumonia cannot be excluded.", {"Pneumonia": -1}),
    ("Cannot exclude a small effusion.", {EFFUSION: -1}),
    ("Possible atelectasis.", {"Atelectasis": -1}),
    ("Atelectasis versus pneumonia.", {"Atelectasis": -1, "Pneumonia": -1}),
    ("No suspicious nodule.", {"Lung Lesion": 0}),
    ("Blunting of the left costophrenic angle.", {EFFUSION: -1}),
    # Parts and their states.
    ("The heart is mildly enlarged.", {"Cardiomegaly": 1}),
    ("Enlarged cardiac silhouette.", {"Cardiomegaly": 1}),
    ("Heart size is normal.", {"Cardiomegaly": 0}),
    ("Heart size and vascularity are within normal limits.", {"Cardiomegaly": 0}),
    ("The heart is at the upper limits of normal.", {"Cardiomegaly": -1}),
    ("The heart is normal in size, enlarged pulmonary arteries.", {"Cardiomegaly": 0}),
    ("The mediastinum is widened.", {"Enlarged Cardiomediastinum": 1}),
    # Strongest of several, and what a label is not.
    ("Small effusion. No large effusion.", {EFFUSION: 1}),
    ("Possible effusion. No large effusion.", {EFFUSION: -1}),
    ("A pericardial effusion. Calcified nodules.", {}),
    ("The right central venous catheter has been removed.", {"Support Devices": 1}),
    ("Sternal wires and surgical clips.", {}),
]


@pytest.mark.parametrize(("report", "expected"), SENTENCES)
def test_labels_of_a_sentence(report, expected):
    found = rule_labels(report)
    del found["No Finding"]
    assert found == expected


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("No pneumothorax. Heart size is normal.", 1),
        ("Left chest tube in place.", 1),
        ("Mild scoliosis.", 1),
        ("Possible effusion.", 0),
        ("Small effusion.", 0),
    ],
)
def test_no_finding_follows_from_the_others_and_devices_do_not_count(report, expected):
    assert rule_labels(report)["No Finding"] == expected


def test_a_report_without_words_says_nothing():
    assert rule_labels(" \n") == rule_labels("") == {}


def test_case_and_line_breaks_do_not_matter():
    assert rule_labels("NO\n pleural\n EFFUSION") == rule_labels("No. Pleural. Effusion")
    assert rule_labels("NO  pleural EFFUSION") == {EFFUSION: 0, "No Finding": 1}


def keyword_labels(report):
    """The same by the same words, deaf to denial and doubt: what is named is present."""
    sentences = [" ".join(one.split()) for one in rules._SENTENCE.split(report.lower())]
    said = {
        label
        for label, words in rules._PATTERNS.items()
        if any(words.named.search(one) or any(states(words, one)) for one in sentences)
    }
    return dict.fromkeys(said, 1) | {"No Finding": int(said <= {"Support Devices"})}


def states(words, sentence):
    """Of each state that a part of the body has there, whether it is the finding."""
    for found in words._described(sentence):
        yield not (found["open"] or found["normal"])


def f1(pairs):
    hits = sum(truth and said for truth, said in pairs)
    return 2 * hits / max(1, sum(truth + said for truth, said in pairs))


@pytest.fixture(scope="module")
def indexed(real_data):
    """Findings and impression of each study, and the labels of its MeSH terms; number first."""
    config = SourceConfig(
        name="openi",
        path=str(real_data / "openi-reports"),
        views=ViewRules(most=0),
        text=TextRules(drop_prior=False, drop_again=False, drop_new=False, drop_lone_stops=False),
    )
    source = open_source(config)
    done = check(source, range(len(source)))
    return [
        (int(study.id.removeprefix("CXR")), f"{study.findings}\n{study.impression}", study.labels)
        for study in done
        if not isinstance(study, Rejected) and study.labels
    ]


def test_denials_and_doubts_are_worth_a_tenth_of_macro_f1_on_open_i(indexed):
    """The words were chosen on reports of odd number; these are the even ones.

    Truth: what the collection's readers indexed; what they left open is not counted. Said: present.
    """
    positives = {name: sum(truth.get(name) == 1 for _, _, truth in indexed) for name in CHEXPERT_14}
    names = [name for name, count in positives.items() if count >= 50]
    held_out = [(text, truth) for number, text, truth in indexed if number % 2 == 0]
    assert len(names) == 10 and len(held_out) > 1500

    def scores(labeler):
        said = [(labeler(text), truth) for text, truth in held_out]
        return {
            name: f1(
                [
                    (truth[name] == 1, found.get(name) == 1)
                    for found, truth in said
                    if truth.get(name) in (0, 1)
                ]
            )
            for name in names
        }

    ruled, keywords = scores(rule_labels), scores(keyword_labels)
    findings = [name for name in names if name != "No Finding"]
    for counted in (names, findings):
        ours, theirs = (sum(one[n] for n in counted) / len(counted) for one in (ruled, keywords))
        print(f"macro F1 of {len(counted)}: rules {ours:.3f}, keywords {theirs:.3f}")
        assert ours > 0.85 and ours >= theirs + 0.10
    print({name: (round(ruled[name], 3), round(keywords[name], 3)) for name in names})
