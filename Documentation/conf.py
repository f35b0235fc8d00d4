# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx: "make docs"."""

import os
import re

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(top, "dkms.conf"), encoding="utf-8") as f:
    version = release = re.search(r'PACKAGE_VERSION="(.*)"', f.read()).group(1)

project = "vfiouser_pci"
author = "the authors of vfiouser_pci"
copyright = "the authors of vfiouser_pci, GPL-2.0-only"
language = "en"
master_doc = "index"
exclude_patterns = ["_build"]
smartquotes = False
highlight_language = "none"

html_theme = "alabaster"
html_theme_options = {
    "description": "vfio-user devices as PCI devices of this host",
    "page_width": "68em",
    "fixed_sidebar": True,
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_show_sourcelink = False
