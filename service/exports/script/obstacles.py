"""Why a job cannot be written as a script."""

from collections.abc import Iterator

from service.exports.script.data import is_fetched
from service.exports.subject import Subject
from service.spec.inline import InlineData
from service.spec.job import JobSpec
from service.spec.models import PluginModel

__all__ = ["obstacles"]

ENDED = {"completed", "early_stopped"}


def obstacles(subject: Subject, spec: JobSpec) -> list[str]:
    """Name the fields of the spec that stand in the way, each with the reason; nothing where none does."""
    found = list(_of_the_spec(spec))
    data = spec.data
    if not subject.is_job_there and isinstance(data, InlineData) and is_fetched(spec, data.table_schema):
        found.append("/data: its many rows were sent with the job, which has been deleted")
    if subject.stop_reason not in ENDED:
        found.append(
            f"the training ended with `{subject.stop_reason}`, perhaps within an epoch: "
            "only one that came to its own end can be repeated"
        )
    return found


def _of_the_spec(spec: JobSpec) -> Iterator[str]:
    training = spec.training
    if isinstance(spec.model, PluginModel):
        yield "/model/type: a plugin's network is not plain torch"
    if spec.model.start is not None:
        yield "/model/init_from: it starts from another job's parameters"
    if spec.data.group_by is not None:
        yield "/data/group_by: each group has a model of its own"
    if spec.evaluation.folds is not None:
        yield "/evaluation/folds: several trainings are compared"
    if training.augmentation:
        yield "/training/augmentation: each batch is changed at random"
    if training.shuffle == "blocks" and training.batch_size != "full":
        yield "/training/shuffle: `blocks` is the service's own order"
    if spec.loss.roles or spec.loss.target == "sequence":
        yield f"/loss/type: {spec.loss.type} takes several inputs"
