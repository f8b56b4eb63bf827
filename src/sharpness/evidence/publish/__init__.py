"""What a visitor of the repository sees: docs/results.md, README's table and the pictures of one scale.

They are written from docs/results/, where each published scale has a record: <scale>.json says of which runs it is, and
<scale>.csv has the findings as those judged them. The records are made where the runs are, and kept where they are not.
"""

from sharpness.evidence.publish.pages import write_pages
from sharpness.evidence.publish.records import SCALES, load_records, update_record
from sharpness.study import load_study

# The one whose figures and report are published too.
PICTURED = "cifar-cpu-jpeg"


def publish(scales: tuple[str, ...] = SCALES, pictured: str = PICTURED) -> None:
    """Renew the records of the scales whose runs are here, and write the pages from all records.

    Raises:
        UserError: a job's file is not what the job wrote; a record is of other settings than config/ has now, and the
            runs of that scale are not here; the pictured scale is complete and its report is not made from its runs;
            README.md lacks the marks of its table.
    """
    for scale in scales:
        update_record(load_study(scale, theory=False), pictured == scale)
    write_pages(load_records(scales))
