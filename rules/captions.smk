# How outputs enter the workflow's own report (snakemake --report). No rules here.


def in_report(path, title, category):
    """An output with its caption (report/NAME.rst) and its place in the workflow's report."""
    caption = f"../report/{Path(path).stem}.rst"
    return report(path, caption=caption, category=category, labels={"title": title})


def figures_in_report(names):
    """PNGs of figures, for the workflow's report."""
    return [in_report(f"{FIGURES}/{name}.png", name.replace("_", " "), "3. Figures") for name in names]
