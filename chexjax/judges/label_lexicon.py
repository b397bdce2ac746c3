"""How radiologists name the 14 labels, deny them and leave them open: the rules' only words.

All are regular expressions over a sentence in lower case with single blanks. Which phrases belong
to which label follows the habits of CheXpert's labeler (Irvin et al. 2019): a scar or coarse
markings are a `Lung Opacity`, vascular congestion is `Edema`, sternal wires and clips are no
`Support Devices`, and a device that was removed is still one that the report names; a nodule that
is calcified is a granuloma and no `Lung Lesion`. "Likely" and "suggesting" are no doubts.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """The words of one label.

    Attributes:
      named: What the finding itself is called.
      hints: What hints at it and no more: it is uncertain where nothing else names it.
      part: A part of the body whose state is described instead: "the heart is enlarged".
      states: The states of it that are the finding.
    """

    named: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    part: str = ""
    states: str = ""


_FEW = r"(?:[ ][\w/-]+){0,3}[ ]"  # up to three words between two that belong together
_LUNG = r"(?:lungs?|pulmonary|parenchymal|lobe|lobar|bas(?:e|al|ilar|es)|apex|apical|lingular?)"
_WIDE = r"(?:enlarged?|enlargement|widen(?:ed|ing)|prominen(?:t|ce)|increased|large)"

LEXICON: dict[str, Terms] = {
    "Enlarged Cardiomediastinum": Terms(
        named=(
            r"cardiomediastinal enlargement",
            r"(?:wide|widened|widening of the) (?:superior |upper )?mediastin\w+",
            r"mediastinal (?:widening|enlargement)",
            r"prominence of the (?:superior |upper )?mediastin\w+",
        ),
        part=r"(?:cardio ?)?mediastin(?:um|al silhouette|al contours?)",
        states=_WIDE,
    ),
    "Cardiomegaly": Terms(
        named=(
            r"cardiomegaly",
            rf"enlargement of{_FEW}(?:heart|cardiac (?:silhouette|shadow))",
            r"cardiac enlargement",
        ),
        part=r"(?:heart|cardiac (?:silhouette|shadow|size|contours?)|cardiopericardial silhouette)",
        states=_WIDE,
    ),
    "Lung Opacity": Terms(
        named=(
            r"opacit(?:y|ies)",
            r"opacifications?",
            r"air ?-?space diseases?",
            r"infiltrates?|infiltration",
            rf"densit(?:y|ies){_FEW}(?:[\w-]+[ ]){{0,3}}{_LUNG}",
            rf"{_LUNG}{_FEW}densit(?:y|ies)",
            r"(?:increased|prominen\w+|coarse\w*|accentuat\w+)(?: [\w-]+){0,3} markings",
            r"markings(?: [\w-]+){0,3} (?:increased|prominent|coarse\w*|accentuated)",
            r"interstitial (?:markings|(?:lung )?disease|pattern|prominence|changes?|thickening)",
            r"reticul(?:ar|ation|onodular)\w*",
            r"scar(?:s|ring)?",
            r"peribronchial (?:thickening|cuffing)",
        ),
    ),
    "Lung Lesion": Terms(
        named=(
            r"(?<!calcified )(?<!calcified lung )(?<!calcified pulmonary )"
            r"nodul(?:es?|ar(?:ity)?)",
            r"mass(?:es)?",
            r"cavitary|cavitation",
            r"(?:pulmonary|lung) lesions?",
            r"neoplasms?|carcinoma|tumou?rs?|malignan\w+|metasta\w+",
        ),
    ),
    "Edema": Terms(
        named=(
            r"edema",
            r"(?:heart failure|chf)",
            r"(?:vascular|venous|pulmonary) congestion|congestive",
            r"(?:volume|fluid) overload",
            r"(?:vascular|vasculature|vascularity) (?:prominence|engorgement|redistribution)",
            r"(?:prominent|engorged|indistinct) (?:central )?(?:pulmonary )?vascul\w+",
        ),
    ),
    "Consolidation": Terms(named=(r"consolidat\w+",)),
    "Pneumonia": Terms(
        named=(
            r"pneumonias?|pneumonitis",
            r"(?<!granulomatous )infection",
            r"infectious (?:process|etiology)",
        ),
    ),
    "Atelectasis": Terms(
        named=(r"atelecta\w+", r"collapse(?:d)?(?= of| lung| lobe)", r"(?:lobar|lung) collapse"),
    ),
    "Pneumothorax": Terms(named=(r"(?:hydro|hemo)?pneumothora(?:x|ces)",)),
    "Pleural Effusion": Terms(
        named=(
            r"(?<!pericardial )(?<!joint )effusions?",
            r"pleural fluid",
            r"hydropneumothorax|hemothorax|hemopneumothorax",
        ),
        hints=(
            r"blunt\w*(?: [\w-]+){0,5} (?:costophrenic|sulcus|cp angle)",
            r"(?:costophrenic|cp) (?:angles?|sulc\w+|xxxx)(?: [\w-]+){0,3} blunt\w*",
        ),
    ),
    "Pleural Other": Terms(
        named=(
            r"pleural(?: [\w-]+){0,2} (?:thickening|scar\w*|plaques?|calcifi\w+|reaction)",
            r"pleural-(?:parenchymal|based|peripheral) (?:scar\w*|thickening)",
            r"fissur\w+ thickening",
            r"thickening(?: [\w-]+){0,4} pleura\w*",
            r"fibrothorax",
            r"(?:biapical|apical) (?:thickening|capping|cap)",
        ),
    ),
    "Fracture": Terms(named=(r"fractur\w+",)),
    "Support Devices": Terms(
        named=(
            r"catheters?",
            r"(?:tracheostomy|endotracheal|et|ng|nasogastric|enteric|feeding|chest|pleural|"
            r"gastric|drainage|thoracostomy|tracheal) tubes?",
            r"(?:central|picc|ij|jugular|subclavian|venous|pic) (?:venous )?lines?",
            r"picc",
            r"port-?a-?cath|mediport|portacath|chemotherapy port|(?:chest|infusion) port",
            r"pace ?-?makers?|pacing|aicd|icd|defibrillators?|(?:pacemaker|pacer) leads?",
            r"(?:cardiac|implant\w+|electronic|medical|support|closure|assist|monitoring) "
            r"(?:[\w-]+ )?devices?",
            r"(?:pulse )?generators?|stimulators?|occluders?|balloon pump|swan-?ganz",
            r"(?:ekg|ecg|monitor\w*|telemetry|overlying|intact|dual|two|\d|\w+cardiac|atrial|"
            r"ventricular) (?:[\w-]+ )?leads?",
            r"tip(?: [\w-]+){0,6} (?:svc|vena|atrium|ventricle|carina|cavoatrial|caval)",
            r"stents?|tracheostomy|prosthe(?:sis|ses)|bone anchors?",
            r"(?:valve|valvular) (?:replacement|prosthe\w+)|(?:prosthetic|artificial|mechanical) "
            r"(?:[\w-]+ )?valves?",
            r"(?:spinal|spine|orthopedic|cervical|fixation|fusion) (?:[\w-]+ )?"
            r"(?:hardware|rods?|screws?|plates?)",
            r"(?:anterior|spinal|spine|cervical|posterior) (?:[\w-]+ )?fusion",
        ),
    ),
}
"""Label -> its words; `No Finding` follows from the others."""

STILL = (
    r"(?:no|without)(?: [\w-]+){0,2} (?:changes?|increase|progression|difference)(?: (?:in|of))?|"
    r"not(?: \w+)? (?:seen|present|identified|visualized|appreciated) (?:on|in)(?: \w+){0,2} "
    r"(?:prior|previous|earlier|comparison|xxxx)|"
    r"(?:has|have) not(?: \w+)? (?:changed|improved|xxxx)"
)
"""What looks like a denial and denies but a change, or a finding of another day."""

DENIED_BEFORE = (
    r"no|not|nor|neither|without|negative for|(?:free|clear|absence|resolution|lack) of|denies|"
    r"never|rather than|(?:fails?|failed) to|resolved|unlikely"
)
"""Words after which findings are denied, up to the end of the clause."""

DENIED_AFTER = (
    r"(?:is|are|was|were|has|have|had)(?: [\w-]+){0,2} (?:not|resolved|cleared|absent|excluded)|"
    r"(?:is|are) (?:unlikely|ruled out)|not (?:seen|identified|present|visualized|evident)|absent|"
    r"resolved|ruled out|within(?: [\w-]+){0,2} limits|(?:is|are|appears?) (?:\w+ )?normal"
)
"""Words before which findings are denied, back to the start of the clause."""

UNSURE_BEFORE = (
    r"may|maybe|might|could|can(?: ?not|'t) (?:\w+ )?(?:exclude|rule out)|possib(?:le|ly|ility)|"
    r"(?:not|without) (?:exclude|excluding)|difficult to exclude|question(?:able|ed)?|"
    r"suspicious|suspicion|suspected|concern(?:ing)? for|equivocal|borderline|rule out|exclude|"
    r"(?:evaluate|evaluation|assess|correlate|correlation)(?: \w+)? (?:for|with)|"
    r"(?:differential|considerations?)(?: \w+){0,3} (?:includes?|considered)|whether|versus|vs"
)
"""Words after which findings are left open."""

UNSURE_AFTER = (
    r"(?:can ?not|can't|not|difficult to)(?: \w+){0,3} (?:excluded?|ruled out)|versus|vs|"
    r"(?:is|are) (?:possible|suspected|questioned|questionable|considered|in the differential)|"
    r"not(?: \w+)? excluded"
)
"""Words before which findings are left open."""

NORMAL = r"normal|unremarkable|not(?: \w+)? enlarged|non-?enlarged"
"""States of a part that rule its finding out."""

BORDERLINE = r"borderline|upper(?: \w+){0,2} limits?|(?:top|upper|high) normal|upper range"
"""States of a part that leave its finding open."""

ENDS = (
    r"but|however|although|though|except(?: for)?|(?:aside|apart) from|other than|otherwise|yet|"
    r"there (?:is|are|has|have)|which (?:is|are)|still|"
    r"and(?= (?:there|the (?:heart|lungs?|cardi\w+|trachea|bon\w+|osseous)) )"
)
"""Where a denial or a doubt ends within a sentence."""

STARTS = (
    r"the|there|this|these|heart|lungs?|mild(?:ly)?|moderate|stable|unchanged|with|possibl[ey]|"
    r"may|cannot"
)
"""Words behind a comma with which another statement begins, rather than a list goes on."""
