// The icons of the pages: drawn with strokes in the colour of the text.

const PATHS = {
  overview: "M3 13h4v7H3zM10 8h4v12h-4zM17 3h4v17h-4z",
  tune: "M4 7h10M18 7h2M4 17h2M10 17h10M16 4.5v5M8 14.5v5",
  traffic: "M4 6h16M4 12h16M4 18h10",
  label: "M4 4h8l8 8-8 8-8-8zM8 8h.01",
  students: "M2 9l10-5 10 5-10 5zM6 11.5V17c3 2.500 9 2.500 12 0v-5.500",
  compare: "M12 3v18M5 8l-3 6h6zM19 8l-3 6h6zM5 8h14",
  changes: "M12 7v5l3 3M4 12a8 8 0 1 0 2.500-5.800L4 8.500M4 4v4.500h4.500",
};
const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
