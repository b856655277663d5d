"""Charts as SVG text, drawn by gnuplot."""
import html
import math
import subprocess

COLOURS = {"default": "#d62728", "unique": "#1f77b4", "rule": "#2ca02c", "threshold": "#ff7f0e",
           "hash": "#8c564b", "random": "#9467bd", "shared-only": "#7f7f7f", "paper": "#e377c2"}
OTHERS = ["#1f77b4", "#17becf", "#2ca02c", "#bcbd22", "#ff7f0e", "#d62728", "#9467bd", "#8c564b"]


def colour(label, index):
    return COLOURS.get(label, OTHERS[index % len(OTHERS)])


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def data_block(name, columns):
    """Rows of numbers; a row with a number that is not finite breaks the line there."""
    rows = []
    for values in zip(*columns):
        fine = all(v is not None and math.isfinite(v) for v in values)
        rows.append(" ".join(f"{v:.7g}" for v in values) if fine else "")
    return f"${name} << EOD\n" + "\n".join(rows) + "\nEOD\n"


def chart(title, x_label, y_label, series, log_x=False, options="", style="lines lw 1.6"):
    """series: [(label, [x], [y])] or with a fourth [spread of y]. Returns <figure> with the SVG."""
    script = ["set encoding utf8", "set terminal svg size 520,330 font 'sans-serif,11' background 'white'",
              f"set xlabel {quoted(x_label)}", f"set ylabel {quoted(y_label)}", "set grid lc rgb '#dddddd'",
              "set key outside right top vertical samplen 1.5 spacing 0.95", "set border 3", "set tics nomirror",
              "set format x '%.0s%c'" if not log_x else "set logscale x", options]
    plots = []
    for i, (label, *columns) in enumerate(series):
        script.append(data_block(f"d{i}", columns))
        base, line = f"$d{i}", f"lc rgb '{colour(label, i)}'"
        if len(columns) == 3:
            plots.append(f"{base} using 1:2:3 with yerrorbars pt 7 ps 0.5 {line} notitle")
            plots.append(f"{base} using 1:2 with lines lw 1.2 {line} title {quoted(label)}")
        else:
            plots.append(f"{base} using 1:2 with {style} {line} title {quoted(label)}")
    if not any(any(math.isfinite(y) for y in columns[1] if y is not None) for _, *columns in series):
        return f"<figure><figcaption>{html.escape(title)}</figcaption><p>nothing to draw</p></figure>"
    script.append("plot " + ", \\\n  ".join(plots))
    done = subprocess.run(["gnuplot"], input="\n".join(script), capture_output=True, text=True, check=False)
    if done.returncode != 0 or "<svg" not in done.stdout:
        raise RuntimeError(f"gnuplot could not draw {title!r}: {done.stderr}")
    svg = done.stdout[done.stdout.index("<svg"):]
    return f"<figure><figcaption>{html.escape(title)}</figcaption>{svg}</figure>"


def grid(figures):
    return '<div class="grid">' + "".join(figures) + "</div>"
