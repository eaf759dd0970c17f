// Draws the figures in the page's colours, and again when the theme changes.
"use strict";

(() => {
  const figures = JSON.parse(document.getElementById("data").textContent);
  const BUTTONS = {
    fixed: [["toImage"]],
    free: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  // The buttons are listed, so that none of another version leads out of the page.
  const config = (figure) => ({
    displaylogo: false,
    responsive: true,
    modeBarButtons: figure.layout.yaxis.fixedrange ? BUTTONS.fixed : BUTTONS.free,
  });

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function layout(figure) {
    const text = colour("--text");
    const axes = Object.entries(figure.layout).filter(([name]) => /^[xy]axis/.test(name));
    const grid = { gridcolor: colour("--line") };
    return {
      ...figure.layout,
      ...Object.fromEntries(axes.map(([name, axis]) => [name, { ...axis, ...grid }])),
      autosize: figure.layout.width === undefined,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: text },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--accent") },
      hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: text }, align: "left" },
    };
  }

  function data(figure) {
    const scale = [[0, colour("--low")], [0.5, colour("--middle")], [1, colour("--high")]];
    const groups = ["--series-1", "--series-2", "--series-3", "--series-4"].map(colour);
    return figure.data.map((trace, index) => {
      const textfont = { size: 10, color: colour("--text") };
      if (trace.type === "heatmap") return { ...trace, colorscale: scale, textfont };
      // Traces that belong together say which colour is theirs.
      const own = groups[(trace.meta?.series ?? index) % groups.length];
      const drawn = { ...trace, marker: { ...trace.marker, color: own }, textfont };
      if (trace.line) drawn.line = { ...trace.line, color: own };
      if (trace.fill) drawn.fillcolor = `${own}2e`;
      return drawn;
    });
  }

  function draw() {
    for (const [id, figure] of Object.entries(figures)) {
      Plotly.react(id, data(figure), layout(figure), config(figure));
    }
  }

  document.addEventListener("themechange", draw);
  draw();
})();
