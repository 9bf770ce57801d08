"""The page's own style, on top of Gradio's.

Every text has a contrast of at least 4.5 to what is behind it.
"""

import gradio as gr

CSS = """
.dark { --color-accent: var(--primary-400); }
.gradio-container { width: 100% !important; max-width: 1180px !important;
  margin: 0 auto !important; }
[id^="vas-"] > .html-container { padding: 0; }
#vas-hint:not(:has(p)) { margin-top: calc(-1 * var(--layout-gap)); }
#vas-head h1 { margin: 0; font-size: 1.7rem; }
#vas-head p { margin: .2rem 0 0; color: var(--body-text-color-subdued); }
.vas-drop {
  display: flex; flex-direction: column; align-items: center; gap: .15rem;
  padding: 1.3rem 1rem; text-align: center; cursor: pointer;
  border: 2px dashed var(--body-text-color-subdued);
  border-radius: var(--radius-lg); background: var(--block-background-fill);
}
.vas-drop:hover, .vas-drop.vas-over { border-color: var(--color-accent); }
.vas-drop:focus-within, .gradio-container :focus-visible {
  outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
#vas-slider ::-webkit-slider-thumb { background: var(--color-accent); }
#vas-slider ::-moz-range-thumb { background: var(--color-accent); }
.dark #vas-slider { --neutral-200: var(--neutral-600); }
#vas-hint p { color: var(--body-text-color); font-weight: 600; }
.vas-drop input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.vas-drop span, .vas-drop small { color: var(--body-text-color-subdued); }
.vas-bar { appearance: none; width: 100%; height: .5rem; border: 0;
  border-radius: .25rem; overflow: hidden;
  background: var(--border-color-primary); }
.vas-bar::-webkit-progress-bar { background: var(--border-color-primary); }
.vas-bar::-webkit-progress-value { background: var(--color-accent); }
.vas-bar::-moz-progress-bar { background: var(--color-accent); }
.vas-samples { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fit, minmax(60px, 1fr)); }
.vas-samples button { padding: 0; margin: 0; border: 2px solid transparent;
  border-radius: var(--radius-md); overflow: hidden; cursor: pointer; }
.vas-samples button:hover { border-color: var(--color-accent); }
.vas-samples img { display: block; width: 100%; height: auto; }
.vas-empty { display: grid; place-items: center; min-height: 18rem;
  padding: 1rem; text-align: center; color: var(--body-text-color-subdued);
  border: 1px solid var(--border-color-primary);
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
.vas-legend li { display: grid; grid-template-columns: auto 1fr auto;
  gap: .1rem .6rem; align-items: baseline; margin: .15rem 0; }
.vas-legend i { width: .9rem; height: .9rem; border-radius: 3px;
  align-self: center; }
.vas-legend span { overflow-wrap: anywhere; }
.vas-legend small { color: var(--body-text-color-subdued); }
@media (max-width: 640px) { .vas-legend small { grid-column: 2; } }
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
  color: var(--button-secondary-text-color); text-decoration: none;
  border: 1px solid var(--button-secondary-border-color); }
.vas-note, .vas-problem, .vas-done { margin: .2rem 0; }
.vas-note { color: var(--body-text-color-subdued); }
.vas-problem { padding: .5rem .8rem; border-radius: var(--radius-md);
  border-left: 4px solid #d33; background: rgba(221, 51, 51, .12); }
"""


def theme():
    """Gradio's soft theme, with texts and borders that stand out more."""
    return gr.themes.Soft(
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        background_fill_primary="*neutral_50",  # `set` forgets it
        color_accent="*primary_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*primary_700",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_300",
        input_border_color="*neutral_500",
        input_border_color_dark="*neutral_300",
        input_border_width="1px",
        slider_color="*primary_600",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_200",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_label_background_fill_selected_dark="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_500",
        button_secondary_border_color_dark="*neutral_300",
        button_border_width="1px",
    )
