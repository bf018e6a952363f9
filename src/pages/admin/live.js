// Keeps the figures of the admin page true, and leaves alone what is being typed. Without it there is a link to load the page again.
"use strict";
{
  const live = document.getElementById("live");
  const late = document.getElementById("late");

  const look = async () => {
    // Nobody looks, or somebody is marking a number to copy it.
    if (document.hidden || !getSelection().isCollapsed) return;
    try {
      const answer = await fetch(live.dataset.from, { cache: "no-store", redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
      const part = new DOMParser().parseFromString(await answer.text(), "text/html");
      live.replaceChildren(...part.body.childNodes);
      late.hidden = true;
    } catch {
      late.hidden = false;
    }
  };

  const again = () => setTimeout(() => look().finally(again), 5000);
  again();
}
