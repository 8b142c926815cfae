"""The figures as tables: for a terminal, and in Markdown for a page."""

from collections.abc import Iterator, Sequence

from .document import LIMITS, Document, Result, Spread, Summary, Verdict

HEAD = ("server", "median", "lowest – highest", "unit", *(f"of {language} loop" for language in LIMITS), "")
WORDS = (0, 3, 6)
"""The columns that are no numbers."""
BARS_HEAD = ("bar", "target", "measured", "verdict")


def rows(result: Result) -> Iterator[tuple[str, ...]]:
    """The loops first, then a row for every metric of every server."""
    unit = next((metric.unit for metric in result.metrics if metric.of_limit), "")
    for limit in result.limits:
        title = f"send loop in {limit.language}"
        yield (title, *numbers(limit.rate, 0), unit, *("" for _ in LIMITS), "; ".join(limit.marks))
    for series in result.series:
        title = series.title
        if not series.summary:
            yield (title, "–", "", "", *("" for _ in LIMITS), "; ".join(series.marks))
        for metric in result.metrics:
            if summary := series.summary.get(metric.name):
                marks = "; ".join(series.marks) if title else ""
                yield (title, *numbers(summary.value, metric.digits), metric.unit, *ratios(summary), marks)
                title = ""


def numbers(spread: Spread, digits: int) -> tuple[str, str]:
    median, low, high = (f"{value:,.{digits}f}" for value in (spread.median, spread.low, spread.high))
    return median, "" if spread.low == spread.high else f"{low} – {high}"


def ratios(summary: Summary) -> tuple[str, ...]:
    found = (summary.ratios.get(language) for language in LIMITS)
    return tuple(f"{ratio.median:.3f}" if ratio is not None else "" for ratio in found)


def aligned(table: Sequence[Sequence[str]], words: Sequence[bool]) -> Iterator[str]:
    """Words to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = (
            cell.ljust(width) if is_word else cell.rjust(width)
            for cell, width, is_word in zip(row, widths, words, strict=True)
        )
        yield "  ".join(cells).rstrip()


def compact(result: Result) -> tuple[list[tuple[str, ...]], list[bool]]:
    """Head and rows without the columns in which nothing stands, and which columns have words."""
    table = list(rows(result))
    columns = [column for column in range(len(HEAD)) if any(row[column] for row in table)]
    return [tuple(row[column] for column in columns) for row in (HEAD, *table)], [column in WORDS for column in columns]


def text(result: Result) -> str:
    return "\n".join([result.title, *(f"  {line}" for line in aligned(*compact(result)))])


def bars_text(bars: Sequence[Verdict]) -> str:
    return "\n".join(["Bars", *(f"  {line}" for line in aligned(bars_table(bars), [True] * 4))])


def bars_table(bars: Sequence[Verdict]) -> list[tuple[str, ...]]:
    return [BARS_HEAD, *((bar.title, bar.target, bar.measured, bar.verdict) for bar in bars)]


def remarks_text(document: Document) -> str:
    machine, settings = document.machine, document.settings
    where = "and".join(f" core {core} " for core in (machine.cores.server, machine.cores.load) if core is not None)
    lines = [
        f"{machine.cpu}, {machine.cpus} cpus, {machine.kernel}, {machine.python}; on{where.rstrip()}",
        f"median of {settings.repeat}, {settings.duration:g} s each" if settings.repeat > 1 else "one repetition only",
        *document.remarks,
        *(f"left out: {server}: {reason}" for server, reason in document.left_out.items()),
    ]
    return "\n".join(lines)


def markdown(document: Document) -> str:
    """All tables, to be included by a page."""
    machine, settings = document.machine, document.settings
    versions = ", ".join(f"{package} {version}" for package, version in machine.versions.items())
    repeated = f"the median of {settings.repeat} repetitions" if settings.repeat > 1 else "one repetition"
    lines = [f"{machine.cpu}, {machine.cpus} cpus, {machine.kernel}, {machine.python}; {versions}.", ""]
    lines += [f"Every figure is {repeated} of {settings.duration:g} s.", ""]
    for remark in document.remarks:
        lines += [f"**{remark}**", ""]
    for server, reason in document.left_out.items():
        lines += [f"Left out: {server}: {reason}.", ""]
    for result in document.results:
        lines += [f"**{result.title}**", "", *markdown_table(*compact(result)), ""]
    if document.bars:
        lines += ["**Bars**", "", *markdown_table(bars_table(document.bars), [True] * 4), ""]
    return "\n".join(lines)


def markdown_table(table: Sequence[Sequence[str]], words: Sequence[bool]) -> Iterator[str]:
    head, *body = table
    for row in (head, ["---" if is_word else "---:" for is_word in words], *body):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
