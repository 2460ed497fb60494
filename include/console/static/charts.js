// Draws every figure of a page from its JSON island, in the colours of the style sheet.
(() => {
  const drawn = new Map();

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement("span");
    document.body.append(probe);
    // Resolves light-dark(), which a canvas does not know.
    const resolve = (name) => {
      probe.style.color = style.getPropertyValue(name);
      return getComputedStyle(probe).color;
    };
    const found = {
      text: resolve("--text"),
      muted: resolve("--muted"),
      line: resolve("--line"),
      surface: resolve("--surface"),
      series: [1, 2, 3, 4, 5, 6].map((number) => resolve(`--series-${number}`)),
    };
    probe.remove();
    return found;
  }

  function theme() {
    const { text, muted, line, surface, series } = colours();
    const axis = {
      axisLine: { lineStyle: { color: line } },
      axisTick: { lineStyle: { color: line } },
      axisLabel: { color: muted },
      nameTextStyle: { color: muted },
      splitLine: { lineStyle: { color: line } },
    };
    return {
      color: series,
      backgroundColor: "transparent",
      textStyle: { color: text },
      title: { textStyle: { color: text } },
      legend: { textStyle: { color: text }, inactiveColor: muted, pageTextStyle: { color: muted } },
      tooltip: { backgroundColor: surface, borderColor: line, textStyle: { color: text } },
      visualMap: { textStyle: { color: muted } },
      categoryAxis: axis,
      valueAxis: axis,
      timeAxis: axis,
      logAxis: axis,
    };
  }

  function draw(canvas) {
    drawn.get(canvas)?.dispose();
    const option = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
    const label = canvas.closest("figure")?.querySelector("figcaption")?.textContent.trim();
    const chart = echarts.init(canvas, theme());
    chart.setOption({
      animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      aria: { enabled: true, decal: { show: matchMedia("(prefers-contrast: more)").matches } },
      ...option,
      // Drawn on the canvas: a tooltip in HTML has styles that the page's policy refuses.
      tooltip: { renderMode: "richText", confine: true, ...option.tooltip },
    });
    canvas.setAttribute("role", "img");
    if (label) canvas.setAttribute("aria-label", `${label} ${canvas.getAttribute("aria-label") ?? ""}`.trim());
    drawn.set(canvas, chart);
  }

  for (const canvas of document.querySelectorAll("[data-chart]")) {
    canvas.hidden = false;
    draw(canvas);
    const table = canvas.closest("figure")?.querySelector("details");
    if (table) table.open = false;
    new ResizeObserver(() => drawn.get(canvas)?.resize()).observe(canvas);
  }
  addEventListener("themechange", () => drawn.forEach((_, canvas) => draw(canvas)));
})();
