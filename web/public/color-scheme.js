// Sets the colour scheme before the first paint. A file of its own, not an inline script, so that the
// content security policy needs no exception.
(() => {
  let wanted = "auto";
  try {
    wanted = localStorage.getItem("vautn-color-scheme") ?? "auto";
  } catch {
    // Storage is switched off: follow the system.
  }
  const dark =
    wanted === "dark" || (wanted !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
