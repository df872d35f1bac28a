"""Hook of MkDocs: which pages the site's search shows first."""

# Factors on the score of a page; 1 for all others.
BOOST = {
    "quickstart.md": 2,
    "faq.md": 2,
    "runs.md": 2,
    "hardware.md": 1.5,
    "results.md": 0.5,
    "evidence.md": 0.5,
    "scaling.md": 0.5,
    "architecture.md": 0.5,
    "extending.md": 0.5,
}


def on_page_markdown(markdown, page, config, files):
    if page.file.src_uri in BOOST:
        page.meta["search"] = {"boost": BOOST[page.file.src_uri]}
    return markdown
