"""The page's own style, on top of Gradio's."""

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#vas-head h1 { margin: 0; font-size: 1.7rem; }
#vas-head p { margin: .2rem 0 0; color: var(--body-text-color-subdued); }
.vas-drop {
  display: flex; flex-direction: column; align-items: center; gap: .15rem;
  padding: 1.3rem 1rem; text-align: center; cursor: pointer;
  border: 2px dashed var(--border-color-primary);
  border-radius: var(--radius-lg); background: var(--block-background-fill);
}
.vas-drop:hover, .vas-drop.vas-over, .vas-drop:focus-within {
  border-color: var(--color-accent);
}
.vas-drop input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.vas-drop span, .vas-drop small { color: var(--body-text-color-subdued); }
.vas-drop progress, .vas-bar { width: 100%; height: .5rem; }
.vas-samples { display: grid; gap: .5rem;
  grid-template-columns: repeat(4, 1fr); }
.vas-samples button { padding: 0; margin: 0; border: 2px solid transparent;
  border-radius: var(--radius-md); overflow: hidden; cursor: pointer; }
.vas-samples button:hover, .vas-samples button:focus-visible {
  border-color: var(--color-accent); }
.vas-samples img { display: block; width: 100%; height: auto; }
.vas-empty { display: grid; place-items: center; min-height: 18rem;
  padding: 1rem; text-align: center; color: var(--body-text-color-subdued);
  border-radius: var(--radius-lg); background: var(--background-fill-secondary);
}
.vas-empty p { margin: 0; }
.vas-hint { margin: 0 0 .3rem; font-size: .85rem;
  color: var(--body-text-color-subdued); }
.vas-frame { margin: 0; }
.vas-frame img { display: block; width: 100%; height: auto; max-height: 70vh;
  object-fit: contain; border-radius: var(--radius-lg);
  background: var(--background-fill-secondary); }
.vas-frame figcaption { margin-top: .3rem; font-size: .85rem;
  color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.vas-legend { list-style: none; margin: .4rem 0 0; padding: 0; }
.vas-legend li { display: flex; flex-wrap: wrap; gap: .1rem .6rem;
  align-items: baseline; margin: .15rem 0; }
.vas-legend i { flex: none; width: .9rem; height: .9rem; border-radius: 3px;
  align-self: center; }
.vas-legend span { overflow-wrap: anywhere; }
.vas-legend small { margin-left: auto; color: var(--body-text-color-subdued); }
.vas-video { width: 100%; max-height: 75vh; border-radius: var(--radius-lg); }
.vas-words { display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); }
.vas-words figure { margin: 0; }
.vas-words img { display: block; width: 100%; height: auto;
  border-radius: var(--radius-md); }
.vas-words figcaption { text-align: center; font-size: .9rem; }
.vas-files { display: flex; flex-wrap: wrap; gap: .6rem; margin: .4rem 0 0; }
.vas-files a { padding: .4rem .9rem; border-radius: var(--radius-md);
  background: var(--button-secondary-background-fill);
  color: var(--button-secondary-text-color); text-decoration: none; }
.vas-note, .vas-problem, .vas-done { margin: .2rem 0; }
.vas-note { color: var(--body-text-color-subdued); }
.vas-problem { padding: .5rem .8rem; border-radius: var(--radius-md);
  border-left: 4px solid #d33; background: rgba(221, 51, 51, .12); }
"""
