"""The form of the admin pages by which a recipe is checked, planned and started."""

from typing import Any

from django import forms

from zoo_server.pipelines.recipes.faults import FaultList, InvalidRecipe
from zoo_server.pipelines.recipes.reading import MAX_BYTES, read_document
from zoo_server.pipelines.requests import PipelineRequest

MAX_FILLING = 20_000
AREA = {"rows": 4, "cols": 80, "spellcheck": "false", "class": "vLargeTextField"}


class RecipeForm(forms.Form):
    """A recipe as text or file, and what to fill in; the last three fields are small YAML mappings."""

    recipe = forms.CharField(
        required=False, max_length=MAX_BYTES, strip=False, widget=forms.Textarea(attrs=AREA | {"rows": 24})
    )
    upload = forms.FileField(required=False, label="or a file", help_text="Takes the place of the text above.")
    team = forms.CharField(max_length=96, help_text="The team whose jobs and models these are.")
    set = forms.CharField(required=False, max_length=60, help_text="A parameter set of the recipe.")
    cache = forms.ChoiceField(choices=[(name, name) for name in ("use", "refresh", "off")], initial="use")
    priority = forms.IntegerField(min_value=0, max_value=9, initial=5, help_text="9 runs first, 0 last.")
    inputs = forms.CharField(
        required=False,
        max_length=MAX_FILLING,
        widget=forms.Textarea(attrs=AREA),
        help_text="One line for each input, such as data: vision/fashion@1",
    )
    values = forms.CharField(
        required=False, max_length=MAX_FILLING, widget=forms.Textarea(attrs=AREA), help_text="Such as epochs: 3"
    )
    axes = forms.CharField(
        required=False, max_length=MAX_FILLING, widget=forms.Textarea(attrs=AREA), help_text="Such as seed: [0, 1, 2]"
    )

    def clean(self) -> dict[str, Any]:
        """One recipe, from the text or the file."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        upload = cleaned.get("upload")
        if upload is not None:
            try:
                cleaned["recipe"] = upload.read(MAX_BYTES + 1).decode()
            except UnicodeDecodeError as error:
                self.add_error("upload", f"This is not UTF-8 text: byte {error.start} is not part of any character.")
        if not cleaned.get("recipe") and not self.errors:
            self.add_error("recipe", "Paste a recipe, or choose a file.")
        return cleaned

    def request(self) -> PipelineRequest:
        """What the filled-in form asks for; raises :class:`InvalidRecipe` or pydantic's error for wrong mappings."""
        cleaned = self.cleaned_data
        upload = cleaned.get("upload")
        fields = {
            "recipe": cleaned["recipe"],
            "file": upload.name[-200:] if upload else "recipe.yaml",
            "team": cleaned["team"],
            "set": cleaned["set"] or None,
            "cache": cleaned["cache"],
            "priority": cleaned["priority"],
        }
        return PipelineRequest.model_validate(
            fields | {name: _mapping(cleaned[name], name) for name in ("inputs", "values", "axes")}
        )


def _mapping(text: str, name: str) -> dict[str, Any]:
    """The mapping in one of the small fields; errors call the field by its name."""
    if not text.strip():
        return {}
    document = read_document(text, file=name)
    if not isinstance(document.value, dict):
        faults = FaultList(name, document.marks)
        faults.add((), "is not a mapping", document.value, "lines such as NAME: VALUE")
        raise InvalidRecipe(faults.found)
    return document.value
