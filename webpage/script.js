// Three small courtesies. Every page reads the same without them.

// 1. When this page landed: the server's Last-Modified, in the reader's own clock.
const landed = document.querySelector("[data-landed]");
const when = new Date(document.lastModified);
if (landed && !Number.isNaN(when.valueOf())) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const tell = () => {
    const seconds = Math.min(0, Math.round((when - Date.now()) / 1000));
    const [unit, size] = units.find(([, size]) => -seconds >= size) ?? units.at(-1);
    const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / size), unit);
    const date = when.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
    landed.textContent = `This file was last changed ${ago} (${date}).`;
  };
  tell();
  setInterval(tell, 30_000);
}

// 2. A button that copies each command.
if (navigator.clipboard) {
  for (const command of document.querySelectorAll(".command")) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command.querySelector("pre").textContent.trim());
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
    command.append(button);
  }
}

// 3. What is still below the window comes up gently as it is reached.
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
if (!still && "IntersectionObserver" in window) {
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((entry) => entry.isIntersecting)) {
      entry.target.classList.remove("below");
      observer.unobserve(entry.target);
    }
  });
  for (const element of document.querySelectorAll(".reveal")) {
    if (element.getBoundingClientRect().top > innerHeight) element.classList.add("below");
    observer.observe(element);
  }
}
