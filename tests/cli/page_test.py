#!/usr/bin/env python3
"""page_test.py URL IMAGE [SHOTS] - the page in a real Chromium: search by text, by a dropped
image, filter, explain, all by keyboard too, on a wide screen and on a phone. Prints each
failed check; the exit status says whether there was one. SHOTS: folder for screenshots."""

import base64
import sys
from playwright.sync_api import sync_playwright

url, image = sys.argv[1], sys.argv[2]
shots = sys.argv[3] if len(sys.argv) > 3 else None
checks = failures = 0
trouble = []  # what the browser itself complained about


def check(what, right):
    global checks, failures
    checks += 1
    if not right:
        failures += 1
        print("FAILED:", what)


def shoot(page, name):
    if shots:
        page.wait_for_timeout(400)
        page.screenshot(path=f"{shots}/{name}.png")


def listen(page):
    page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: trouble.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith((url, "blob:")) else
            trouble.append(f"asked {r.url}"))


def ids(page, which):
    return page.eval_on_selector_all(f"#{which} .card", "cards => cards.map(c => c.dataset.id)")


def wait_done(page, words="re-ranked."):
    page.wait_for_function("w => document.querySelector('#status').textContent.includes(w)",
                           arg=words)


def search_by_text(page):
    page.goto(url)
    page.wait_for_selector("#ideas button")
    shoot(page, "empty")
    page.keyboard.press("/")
    page.keyboard.type("red circle on blue")
    page.keyboard.press("Enter")
    wait_done(page)
    retrieved, reranked = ids(page, "retrieved"), ids(page, "reranked")
    check("twelve cards in each order", len(retrieved) == 12 and len(reranked) == 12)
    check("photos are shown", page.eval_on_selector(
        "#retrieved .card img", "i => i.decode().then(() => i.naturalWidth > 0)"))
    scores = page.eval_on_selector_all("#reranked .card .both b", "all => all.map(b => b.textContent)")
    check("both scores on each card", len(scores) == 24 and "–" not in scores)
    check("the time of each stage", "re-rank" in page.inner_text("#legend"))
    check("the question is in the address", "q=red" in page.evaluate("location.hash"))
    page.click("#show-more")
    check("more are shown", len(ids(page, "reranked")) == 24)
    shoot(page, "text")
    return retrieved


def filter_results(page):
    page.click("#more summary")
    page.select_option("#filters select[name=category]", "stripe")
    wait_done(page)
    titles = page.eval_on_selector_all(".card .title", "all => all.map(t => t.textContent)")
    check("only what passes the filter", titles and all("stripe" in t for t in titles))
    check("the filter is counted", page.inner_text("#chosen") == "1")
    shoot(page, "filter")
    page.click("#clear")
    wait_done(page)


def explain(page):
    page.focus("#reranked .card")
    first = page.evaluate("document.activeElement.dataset.id")
    page.keyboard.press("ArrowRight")
    check("arrows go to the next card", page.evaluate("document.activeElement.dataset.id") != first)
    page.keyboard.press("Enter")
    page.wait_for_selector("#why[open]")
    page.wait_for_selector("#why-words li", timeout=60000)
    words = page.eval_on_selector_all("#why-words li span", "all => all.map(s => s.textContent)")
    check(f"each word has its weight: {words}", words == ["red", "circle", "on", "blue"])
    check("the method is said", len(page.inner_text("#why-method")) > 40)
    drawn = page.eval_on_selector("#why-heat", """c => {
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n / (d.length / 4); }""")
    check(f"the heat map covers the photo: {drawn}", drawn > 0.5)
    over = page.evaluate("""() => { const p = document.querySelector('#why-photo').getBoundingClientRect(),
        h = document.querySelector('#why-heat').getBoundingClientRect();
        return h.width > 20 && h.left >= p.left - 1 && h.right <= p.right + 1 && h.top >= p.top - 1
            && h.bottom <= p.bottom + 1; }""")
    check("and nothing but it", over)
    shoot(page, "why")
    page.keyboard.press("Escape")
    check("Escape closes it", not page.query_selector("#why[open]"))
    check("and comes back to the card", page.evaluate("document.activeElement.classList.contains('card')"))


def drop_image(page):
    with open(image, "rb") as file:
        text = base64.b64encode(file.read()).decode()
    page.evaluate("""text => {
        const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], 'photo.png', { type: 'image/png' }));
        for (const name of ['dragenter', 'dragover', 'drop'])
            document.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
    }""", text)
    wait_done(page)
    check("the photo is shown", page.is_visible("#picture"))
    check("the words that were asked before are gone", page.input_value("#text") == "")
    check("something is found", len(ids(page, "retrieved")) == 12)
    shoot(page, "image")
    page.click("#reranked .card >> nth=0")
    page.wait_for_selector("#why-words li", timeout=60000)
    check("it is explained by the title", page.inner_text("#why-words-of") == "The title's words")
    shoot(page, "why-image")
    page.click("#why-close")
    page.click("#unpicture")
    check("the photo can be taken out", not page.is_visible("#picture"))


def go_back(page, retrieved):
    page.goto(url + "/#q=red+circle+on+blue&f.category=circle&rerank=20")
    page.reload()
    wait_done(page)
    check("an address is a search", page.input_value("#text") == "red circle on blue")
    check("with its filter", page.input_value("#filters select[name=category]") == "circle")
    check("and its depth", len(ids(page, "reranked")) <= 20)
    check("the same products", set(ids(page, "retrieved")) & set(retrieved))


def on_a_phone(browser):
    page = browser.new_context(viewport={"width": 360, "height": 740}, is_mobile=True,
                               has_touch=True, device_scale_factor=2).new_page()
    listen(page)
    page.goto(url + "/#q=red+circle")
    wait_done(page)
    check("nothing is wider than the phone",
          page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
    check("one order at a time", page.is_visible("#reranked") and not page.is_visible("#retrieved"))
    shoot(page, "phone")
    page.tap("#tab-retrieved")
    check("and the other", page.is_visible("#retrieved") and not page.is_visible("#reranked"))
    page.tap("#retrieved .card >> nth=0")
    page.wait_for_selector("#why-words li", timeout=60000)
    check("the reasons fit", page.evaluate(
        "document.querySelector('#why').scrollWidth <= innerWidth"))
    shoot(page, "phone-why")


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium",
                                         args=["--no-sandbox", "--disable-gpu"])
    wide = browser.new_page(viewport={"width": 1360, "height": 900})
    wide.set_default_timeout(60000)
    listen(wide)
    before = search_by_text(wide)
    filter_results(wide)
    explain(wide)
    drop_image(wide)
    go_back(wide, before)
    on_a_phone(browser)
    if shots:
        dark = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme="dark").new_page()
        dark.goto(url + "/#q=red+circle")
        wait_done(dark)
        shoot(dark, "dark")
    browser.close()
check(f"the browser has no complaint: {trouble[:3]}", not trouble)
print(f"page: {checks - failures} of {checks} checks hold")
sys.exit(failures > 0)
