// Draws the figures in the page's colours, and again when the theme changes.
"use strict";

(() => {
  const figures = JSON.parse(document.getElementById("data").textContent);
  const BUTTONS = {
    heatmap: [["toImage"]],
    scatter: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  // The buttons are listed, so that none of another version leads out of the page.
  const config = (figure) => ({
    displaylogo: false,
    responsive: true,
    modeBarButtons: BUTTONS[figure.data[0].type],
  });

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function layout(figure) {
    const text = colour("--text");
    return {
      ...figure.layout,
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
    return figure.data.map((trace, index) =>
      trace.type === "heatmap"
        ? { ...trace, colorscale: scale, textfont: { size: 10, color: colour("--text") } }
        : {
            ...trace,
            marker: { ...trace.marker, color: groups[index % groups.length] },
            textfont: { size: 10, color: colour("--text") },
          },
    );
  }

  function draw() {
    for (const [id, figure] of Object.entries(figures)) {
      Plotly.react(id, data(figure), layout(figure), config(figure));
    }
  }

  document.addEventListener("themechange", draw);
  draw();
})();
