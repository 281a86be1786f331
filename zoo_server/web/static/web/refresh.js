// Fetches the page again while it says data-refresh, and puts the new content in place of the old.
const SECONDS = 3;

async function refresh() {
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok && !answer.redirected) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        main.replaceWith(page.querySelector("main"));
      }
    } catch {
      // the server is being restarted: the next round asks again
    }
  }
  setTimeout(refresh, SECONDS * 1000);
}

setTimeout(refresh, SECONDS * 1000);
