import sys
from importlib.metadata import version as version_of
from pathlib import Path

# The extension beside this file, which renders tables of the sources.
sys.path.insert(0, str(Path(__file__).parent))

project = "phoenix-channels"
author = "phoenix-channels contributors"
copyright = "phoenix-channels contributors"
release = version = version_of("phoenix-channels")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_sources"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_*", "**/__pycache__"]
# Links between pages may name a heading: [text](page.md#heading).
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {
    "Event": "phoenix_channels.protocol.events.Event",
    "Params": "phoenix_channels.protocol.params.Params",
    "Payload": "phoenix_channels.protocol.messages.Payload",
    "Ref": "phoenix_channels.protocol.messages.Ref",
}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "phoenix-channels"
