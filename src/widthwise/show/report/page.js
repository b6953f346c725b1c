// Draws every figure, switches the width of the trajectories, saves figures, fits them to paper.
"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const config = read("plot-config");
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = plots.map((plot) => {
    const figure = read(`${plot.id}-data`);
    return Plotly.newPlot(plot, figure.data, figure.layout, config);
  });
  Promise.all(drawn).then(() => document.body.setAttribute("data-drawn", String(drawn.length)));

  document.querySelectorAll("input[name=shown-width]").forEach((input) =>
    input.addEventListener("change", () => {
      document.querySelectorAll(".plot[data-switched]").forEach((plot) => {
        const visible = plot.data.map((trace) => trace.meta === undefined || String(trace.meta) === input.value);
        Plotly.restyle(plot, { visible });
      });
    }),
  );

  document.querySelectorAll(".save").forEach((button) =>
    button.addEventListener("click", async () => {
      for (const plot of button.closest("figure").querySelectorAll(".plot")) {
        const { width, height } = plot.getBoundingClientRect();
        await Plotly.downloadImage(plot, { format: "svg", filename: `widthwise-${plot.id}`, width, height });
      }
    }),
  );

  const paper = 640; // CSS pixels that fit A4 and Letter
  window.addEventListener("beforeprint", () =>
    plots.forEach((plot) => Plotly.relayout(plot, { width: paper, autosize: false })),
  );
  window.addEventListener("afterprint", () =>
    plots.forEach((plot) => Plotly.relayout(plot, { width: null, autosize: true })),
  );
})();
