// Fetches the page again while it says data-refresh, and puts the new content in place of the old where it differs.
// What the reader has opened stays open, and what was scrolled stays where it is.
const SECONDS = 3;
let shown = document.querySelector("main[data-refresh]")?.innerHTML;

function replace(main, fresh) {
  if (fresh.innerHTML === shown) return;
  shown = fresh.innerHTML;
  for (const item of main.querySelectorAll("details[open]")) fresh.querySelector(`#${item.id}`)?.setAttribute("open", "");
  const scrolled = [...main.querySelectorAll(".scroll")].map((item) => item.scrollLeft);
  main.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((item, index) => { item.scrollLeft = scrolled[index] ?? 0; });
}

async function refresh() {
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok && !answer.redirected) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        replace(main, page.querySelector("main"));
      }
    } catch {
      // the server is being restarted: the next round asks again
    }
  }
  setTimeout(refresh, SECONDS * 1000);
}

setTimeout(refresh, SECONDS * 1000);
