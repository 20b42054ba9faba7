#!/usr/bin/env python3
"""Write what Hugging Face `tokenizers` does, for the C tokenizer to be held against.

    make_tokenizer_golden.py tables     src/data/text/basic_tokenizer_tables.h
    make_tokenizer_golden.py golden     tests/golden/tokenizer/{vocab.txt,strings.tsv}

tables asks the library for what it makes of each code point. golden writes strings with
the ids that the library gives, one a line: text TAB ids. In the text a backslash starts
\\\\, \\t, \\n, \\r or \\xHH, one byte each, which may be no UTF-8.
Run in the repository's root. Made with tokenizers 0.23.3.
"""

import random
import sys
import unicodedata
from collections import Counter

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

UNKNOWN = "[UNK]"
SPECIALS = ["[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]"]
TABLES_FILE = "src/data/text/basic_tokenizer_tables.h"
GOLDEN_FOLDER = "tests/golden/tokenizer/"
# Decompositions of Unicode 10 and later, which the library does not have.
LATER_DECOMPOSED = [(0x105C9, 0x105C9), (0x105E4, 0x105E4), (0x11383, 0x11383),
                    (0x11385, 0x11385), (0x1138E, 0x1138E), (0x11391, 0x11391),
                    (0x113C5, 0x113C5), (0x113C7, 0x113C8), (0x11938, 0x11938),
                    (0x16121, 0x16128), (0x16D68, 0x16D6A)]


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def ranges(codes):
    out = []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def value_ranges(values):
    """[(code, value)] ascending -> [[first, last, value]]"""
    out = []
    for c, v in values:
        if out and out[-1][1] == c - 1 and out[-1][2] == v:
            out[-1][1] = c
        else:
            out.append([c, c, v])
    return out


def write_rows(file, kind, name, comment, rows):
    file.write(f"\n/* {comment} */\nstatic const {kind} {name}[] = {{\n")
    line = "   "
    for row in rows:
        cell = " {" + ", ".join([f"0x{row[0]:X}", f"0x{row[1]:X}"]
                                + [str(v) for v in row[2:]]) + "},"
        if len(line) + len(cell) > 88:
            file.write(line + "\n")
            line = "   "
        line += cell
    file.write(line + "\n};\n")


def probe():
    clean = normalizers.BertNormalizer(True, False, False, False)
    chinese = normalizers.BertNormalizer(False, True, False, False)
    strip = normalizers.BertNormalizer(False, False, True, False)
    lower = normalizers.BertNormalizer(False, False, False, True)
    nfd = normalizers.NFD()
    pre = pre_tokenizers.BertPreTokenizer()
    found = {k: [] for k in
             "dropped blanks ideographs marks punctuation classes lower".split()}
    for c in code_points():
        char, text = chr(c), f"a{chr(c)}b"
        cleaned = clean.normalize_str(text)
        if cleaned == "ab":
            found["dropped"].append(c)
            continue
        if cleaned == "a b":
            found["blanks"].append(c)
            continue
        assert cleaned == text
        if chinese.normalize_str(text) != text:
            found["ideographs"].append(c)
        mark = strip.normalize_str(text) == "ab" and nfd.normalize_str(text) == text
        if mark:
            found["marks"].append(c)
        if [w for w, _ in pre.pre_tokenize_str(text)] == ["a", char, "b"]:
            found["punctuation"].append(c)
        ordered = (nfd.normalize_str(char + "\u0334") == "\u0334" + char
                   or nfd.normalize_str("\u0345" + char) == char + "\u0345")
        if ordered and not mark:
            assert unicodedata.combining(char) > 0
            found["classes"].append((c, unicodedata.combining(char)))
        low = lower.normalize_str(text)[1:-1]
        if len(low) == 1 and low != char and unicodedata.category(char) == "Cn":
            found["lower"].append((c, ord(low) - c))
    return found


def write_tables():
    found = probe()
    with open(TABLES_FILE, "w", encoding="ascii") as file:
        file.write(
            "/* basic_tokenizer_tables.h - what Hugging Face tokenizers takes each code point"
            " for.\n *\n * Written by tools/make_tokenizer_golden.py from tokenizers 0.23.3; do"
            " not edit.\n * Ranges are inclusive and ascending.\n */\n"
            "#ifndef FB_DATA_BASIC_TOKENIZER_TABLES_H\n"
            "#define FB_DATA_BASIC_TOKENIZER_TABLES_H\n\n#include <stdint.h>\n\n"
            "/* clang-format off */\n"
            "typedef struct code_range {\n    uint32_t first, last;\n} code_range;\n\n"
            "typedef struct code_value {\n    uint32_t first, last;\n"
            "    int32_t value;\n} code_value;\n")
        for name, comment in [
                ("dropped", "Cleaning takes them away."),
                ("blanks", "Cleaning makes them a blank."),
                ("ideographs", "Each is a word of its own."),
                ("marks", "Category Mn: gone once decomposed."),
                ("punctuation", "ASCII punctuation and category P.")]:
            write_rows(file, "code_range", name.upper(), comment, ranges(found[name]))
        write_rows(file, "code_range", "LATER_DECOMPOSED",
                   "Decompositions newer than its tables: they stay whole.",
                   LATER_DECOMPOSED)
        write_rows(file, "code_value", "KEPT_CLASSES",
                   "Canonical combining classes, where not 0, of what is no mark.",
                   value_ranges(found["classes"]))
        write_rows(file, "code_value", "LATER_LOWER",
                   "Lower case, as a step, of what Unicode 14 did not know.",
                   value_ranges(found["lower"]))
        file.write("/* clang-format on */\n\n#endif\n")


# ---- golden strings -----------------------------------------------------------------

FASHION = {
    "adjective": "red navy emerald off-white slim-fit oversized cropped high-waisted pleated"
                 " ribbed quilted striped floral embroidered vintage faux-leather"
                 " double-breasted sleeveless unisex ankle-length A-line bias-cut"
                 " stone-washed water-repellent 3/4-sleeve".split(),
    "noun": "dress T-shirt chinos blazer sneakers stilettos kurta saree lehenga trench-coat"
            " cardigan hoodie jumpsuit culottes scarf beanie tote clutch belt espadrilles"
            " bralette boxers polo parka anorak kimono".split(),
    "material": "cotton linen silk cashmere merino-wool denim corduroy velvet chiffon satin"
                " organza nylon viscose (95% cotton, 5% elastane) tweed jacquard".split(),
    "brand": "Nørgård & Søn|L'Éclat|Müller®|Zoë™|D&G-style|Łucja|H.R.|Ærø|O'Neill's|ÇELİK|"
             "São João|Ångström No. 5|Œuvre|Đorđe|Þór|Ñandú|Weiß".split("|"),
}

SCRIPTS = {
    "french": "Robe d'été à fleurs brodée, manches longues, taille élastiquée, coupe évasée,"
              " sac à main en cuir côtelé, bonnet de noël, œillets dorés, Élégante",
    "german": "Größe Ärmel Übergrößen Strickjacke weiß grün schöner Gürtel aus Leder"
              " Fußbekleidung STRASSE STRAẞE wärmende Mütze für Mädchen",
    "polish": "Sukienka wieczorowa zielona ŻÓŁTA kurtka męska spódnica dżinsowa łańcuszek"
              " źrebię ćma",
    "turkish": "KADIN ELBİSE ıslak gömlek İPEK şal çanta ÜRÜN ĞÜŞİÖÇ kışlık bot",
    "vietnamese": "Áo dài truyền thống lụa tơ tằm váy đầm dự tiệc quần áo trẻ em Đẹp NHẤT",
    "czech": "Dámské šaty s květinovým vzorem příliš žluťoučký kůň ČERNÁ",
    "russian": "Платье летнее красное Ёлка йод мужская куртка зимняя объём шёлковый ШАРФ"
               " подъезд",
    "ukrainian": "Сукня їжак ґудзик Європа вишиванка жіноча",
    "greek": "Γυναικείο φόρεμα ΣΊΣΥΦΟΣ Ὀδυσσεύς ἀνήρ ᾧ ᾳ ῥόδον μάλλινος παλτός ΐ ΰ Άνδρας"
             " ΟΔΟΣ",
    "arabic": "فستان أحمر طويل للنساء قُمَاشٌ قطن ١٢٣ إسلامي آنسة مؤمن ، ؛ ؟ عَبَايَة ـــ",
    "hebrew": "שמלה אדומה שָׁלוֹם חולצת כותנה ״מידה״ נעליים שׁ שׂ בּ׳",
    "persian": "پیراهن زنانه گل‌دار کفش چرمی می‌خواهم ژاکت",
    "hindi": "लाल साड़ी रेशमी कुर्ता महिलाओं के लिए क़ ख़ ज़ फ़ । ॥ हिन्दी श्री",
    "bengali": "শাড়ি লাল সুতির কাপড় ড় ঢ় য় কো কৌ",
    "tamil": "பட்டு புடவை சிவப்பு கொ கோ கௌ ஸ்ரீ",
    "telugu": "పట్టు చీర ఎరుపు రంగు కై",
    "thai": "ชุดเดรสสีแดง ผ้าฝ้าย เสื้อยืด กำ น้ำ ๑๒๓ ฯลฯ",
    "lao": "ເສື້ອ ສີແດງ ກຳ",
    "tibetan": "གོས་དམར་པོ། ཀྵ གྷ ༄༅",
    "burmese": "အင်္ကျီ အနီ မြန်မာ ဦ",
    "khmer": "អាវ ក្រហម សំពត់",
    "chinese": "红色连衣裙女装夏季新款棉麻衬衫，显瘦！（加大码）豈更車賈滑串句龜",
    "traditional": "繁體中文連身裙「真絲」襯衫、外套。𠀀𠮷𪛖𫝀𫠝㐀䶵",
    "japanese": "赤いワンピース レディース　綿１００％ ガギグゲゴ がぎぐげご ﾊﾟﾋﾟﾌﾟ ・「々」ー〆",
    "korean": "빨간 원피스 여성용 니트 가디건 값싼 옷 뷁 한글 ㄱㄴㄷ ㅏㅑ 각",
    "georgian": "წითელი კაბა ᲬᲘᲗᲔᲚᲘ ქალის",
    "armenian": "Կարմիր զգեստ և կոշիկ ԿԱՐՄԻՐ։ ՜՝",
    "amharic": "ቀይ ቀሚስ የሴቶች ፡ ። ፣",
    "cherokee": "ᏣᎳᎩ ꭰꭱ ᎠᎡ",
    "mongolian": "ᠮᠣᠩᠭᠣᠯ ᠎ᠠ",
    "deseret": "𐐔𐐯𐑅𐐨𐑉𐐯𐐻 𐐀𐐁",
    "fullwidth": "ＦＡＳＨＩＯＮ　ｓａｌｅ　１２３％！＄（）「」～￥",
    "maths": "𝔽𝕒𝕤𝕙𝕚𝕠𝕟 𝐁𝐨𝐥𝐝 ℌ ℝ K Å Ω ⅓ Ⅻ ⅻ x² H₂O ∑∞≠≤ ≮ ∄",
    "currency": "€49.99 £10 ¥500 ₹1,299 ₺20 ₽99 ₩5000 ₿1 ¢5 ฿100 $3^2=9 <b>~`|+",
    "punctuation": "“sale” ‘new’ —–‐ … ‰ ‡ § ¶ ¿¡ «x» ‹y› ;· ⟨z⟩ 〈w〉 ⸘ ⹃ ․ ‼ ؟ ، ۔ ՚ ﹏ ＿ ༺",
    "emoji": "👗 👠 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️ 🇩🇪 1️⃣ ☺︎ 🧵🪡 👨🏿‍🦰",
    "letterlike": "ĳ ŉ ǆ ǅ ǈ ﬁ ﬂ ﬅ ß ẞ ſ ẛ̣ ŀ ŷ Ǻ ǭ ȭ ḝ Ṩ ẗ ỹ Ꜳ ꜳ Ɓ Ƣ Ⱥ Ⱦ",
}

NASTY = ["\0", "\x01", "\x07", "\x08", "\t", "\n", "\r", "\x0b", "\x0c", "\x1b", "\x1f",
         "\x7f", "\x80", "\x85", "\x9f", "\xa0", "\xad", "\u034f", "\u0600", "\u061c",
         "\u06dd", "\u070f", "\u115f", "\u1160", "\u1680", "\u180b", "\u180e", "\u2000",
         "\u2007", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029",
         "\u202a", "\u202e", "\u202f", "\u205f", "\u2060", "\u2064", "\u2065", "\u2066",
         "\u206f", "\u3000", "\u3164", "\ue000", "\uf8ff", "\ufdd0", "\ufe0f", "\ufeff",
         "\uffa0", "\ufff9", "\ufffc", "\ufffd", "\uffff", "\U000110bd", "\U0001d173",
         "\U000e0001", "\U000e0041", "\U000e0100", "\U000f0000", "\U0010fffd",
         "\U0010ffff"]

MARKS = ["\u0300", "\u0301", "\u0307", "\u0308", "\u0323", "\u0327", "\u0334", "\u0338",
         "\u0345", "\u035c", "\u0488", "\u05b0", "\u05c1", "\u064b", "\u0651", "\u093c",
         "\u094d", "\u0e38", "\u0e48", "\u0f71", "\u0f72", "\u1b44", "\u1baa", "\u302a",
         "\u302e", "\u302f", "\u3099", "\ua953", "\ua9c0", "\u20d0", "\u20dd",
         "\U0001d165", "\U0001d16d", "\U0001d167", "\u08d4", "\u08e3", "\u1dfb", "\u0898",
         "\U00016ff0", "\u09fe"]


def title(rng):
    parts = [rng.choice(FASHION[k]) for k in rng.sample(
        ["brand", "adjective", "adjective", "noun", "material", "noun"], rng.randint(3, 6))]
    text = " ".join(parts)
    shape = rng.random()
    if shape < 0.1:
        text = text.upper()
    elif shape < 0.25:
        text = text.title()
    elif shape < 0.35:
        text += rng.choice([" - Size: M/L", " (Pack of 3)", " | 50% OFF!!!", " #4021_b",
                            ", EU 38½", " w/ pockets", " [Outlet]", " 10\" x 12\"", "..."])
    return text


def mixed(rng, pool):
    """Words of one or more scripts, some spoilt by controls, marks or other cases."""
    text = " ".join(rng.choice(pool) for _ in range(rng.randint(1, 6)))
    out = []
    for char in text:
        out.append(char)
        if rng.random() < 0.04:
            out.append(rng.choice(NASTY))
        if rng.random() < 0.04:
            out.extend(rng.choice(MARKS) for _ in range(rng.randint(1, 4)))
    text = "".join(out)
    return rng.choice([text, text, text.upper(), text.title(),
                       unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC"]), text)])


def random_codes(rng):
    blocks = [(0x20, 0x7f), (0xa0, 0x250), (0x300, 0x600), (0x600, 0x900), (0x900, 0x1100),
              (0x1100, 0x2000), (0x2000, 0x2c00), (0x2c00, 0x3400), (0xa000, 0xac00),
              (0xac00, 0xd7a4), (0xf900, 0x10000), (0x10000, 0x12000), (0x16000, 0x17000),
              (0x1d000, 0x1d800), (0x1e000, 0x1fb00), (0x2f800, 0x2fa20)]
    low, high = rng.choice(blocks)
    return "".join(chr(rng.randrange(low, high)) if rng.random() < 0.85
                   else rng.choice([" ", "a", "X", "é", *MARKS])
                   for _ in range(rng.randint(1, 14)))


def long_words(rng):
    yield from ("a" * n for n in (99, 100, 101, 102, 200))
    yield from ("é" * n for n in (100, 101))
    yield from ("e\u0301" * n for n in (99, 100, 101))  # marks go before counting
    yield "한" * 33 + "가"                              # 100 and 101 jamo
    yield "한" * 33 + "가" * 1 + "ㄱ" * 1 + "x"
    yield "İ" * 100
    yield "红" * 150
    yield "-" * 120
    yield "dress" * 20 + " " + "dress" * 21 + " dress"
    yield "a" + "".join(rng.choice(MARKS[:8]) for _ in range(300)) + "b"
    yield "a" + "\u302e\U0001d165" * 49 + "b"
    yield "a" + "\U0001d165\u302e\u1b44" * 80 + "b c"
    yield "\U0001d165" * 60 + "\u1b44" * 35


BAD_BYTES = [b"red\xffdress", b"\xc3", b"caf\xc3", b"caf\xc3 noir", b"\xe2\x82", b"a\xe2\x82b",
             b"\xe2\x28\xa1", b"\xf0\x9f\x91", b"a\xf0\x9f\x91\x97b", b"\xf0\x28\x8c\xbc",
             b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"x\xed\xa0\x80y",
             b"x\xed\xbf\xbfy", b"\xed\xa0\xbd\xed\xb1\x97", b"\xf4\x90\x80\x80", b"\xf5abc",
             b"\xf8\x88\x80\x80\x80z", b"\xfe\xff", b"\x80\x80abc\xbf", b"a\xf4\x8f\xbf\xbfb",
             b"\xef\xbf\xbd", b"linen\xef\xbf\xbd shirt", b"\xef\xbb\xbfbom first",
             b"L\xe4ssig Gr\xf6\xdfe", b"\xd0\x9f\xd0", b"\xe7\xba\xa2\xe8\xa3"]

EDGES = ["", " ", "   \t\n ", "a", "[CLS] red [SEP]", "[MASK]", "[UNK]", "[PAD]pad", "##ing",
         "# #ing", "a##b", "İ", "İSTANBUL", "ΟΔΥΣΣΕΥΣ", "ὈΔΥΣΣΕΎΣ Σ", "ẞß", "ǅ", "\ufeffdress",
         "can't won't", "rock'n'roll", "U.S.A.", "e-mail@shop.com", "https://a.b/c?d=e&f=g#h",
         "C++/C#", "100%", "!!!???...", "(((((", "_under_score_", "a\u200bb", "a\u00adb",
         "fi\u200dre", "a\u0301\u0327", "a\u0327\u0301", "\u0301", "\u0301\u0301 \u0301",
         "1.000,00", "½", "¼cup", "№5", "™", "®©", "x\u0338=", "≠", "a\u2028b\u2029c",
         "a\u3000b", "中a文b", "中文", "﹣", "〜", "・", "㎏", "ﬁt", "\U0002f800",
         "\ud7a3", "\u1112\u1161\u11ab", "\u0958", "\u0928\u093c", "\ufb2c", "\u1e9b\u0323",
         "\u212b\u2126\u212a", "\u0344", "\u0374\u037e\u0387", "\u1fef", "\u2329\u232a",
         "\u0f73\u0f75\u0f81", "\u0340\u0341\u0343", "\U0001d15e\U0001d1bc"]


def make_strings():
    rng = random.Random(20)
    strings = [s.encode() for s in EDGES] + list(BAD_BYTES)
    strings += [s.encode() for s in long_words(rng)]
    strings += [f"a{c}b {c} c{c}".encode() for c in NASTY + MARKS]
    for text in SCRIPTS.values():
        strings += [text.encode(), text.upper().encode(), text.lower().encode(),
                    unicodedata.normalize("NFD", text).encode(),
                    unicodedata.normalize("NFKC", text).encode()]
    every_word = [w for text in SCRIPTS.values() for w in text.split()]
    for text in SCRIPTS.values():
        strings += [mixed(rng, text.split()).encode() for _ in range(20)]
    strings += [mixed(rng, every_word).encode() for _ in range(300)]
    strings += [title(rng).encode() for _ in range(600)]
    strings += [random_codes(rng).encode() for _ in range(500)]
    for _ in range(150):  # cut and bent bytes
        data = bytearray(rng.choice(strings)[:60])
        for _ in range(rng.randint(0, 2)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        strings.append(bytes(data[rng.randint(0, 2):]))
    return list(dict.fromkeys(strings))


def escape(data):
    out = []
    names = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
    # Unprintable characters are escaped too, so that the file stays readable text.
    for char in data.decode("utf-8", "surrogateescape"):
        if char in names:
            out.append(names[char])
        elif char == " " or (char.isprintable() and not 0xD800 <= ord(char) < 0xE000):
            out.append(char)
        else:
            out.append("".join(f"\\x{b:02x}"
                               for b in char.encode("utf-8", "surrogateescape")))
    return "".join(out)


def bert(vocab):
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=UNKNOWN,
                                           max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def learn(strings):
    """Frequent characters, then frequent pieces of words, the longer the better. (The
    library's own trainer numbers pieces in an order that changes from run to run.)"""
    tokenizer = bert({UNKNOWN: 0})
    letters, pieces = Counter(), Counter()
    for data in strings:
        text = tokenizer.normalizer.normalize_str(data.decode("utf-8", "replace"))
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
            if len(word) > 100:
                continue
            for i in range(len(word)):
                letters[word[i] if i == 0 else "##" + word[i]] += 1
                for end in range(i + 2, min(len(word), i + 9) + 1):
                    pieces[word[:end] if i == 0 else "##" + word[i:end]] += end - i

    def best(counter, count):
        return sorted(counter, key=lambda t: (-counter[t], t))[:count]

    return SPECIALS + sorted(best(letters, 1500) + best(pieces, 2095))


def write_golden():
    strings = make_strings()
    tokens = learn(strings)
    tokenizer = bert({t: i for i, t in enumerate(tokens)})
    with open(GOLDEN_FOLDER + "vocab.txt", "w", encoding="utf-8", newline="\n") as file:
        file.writelines(t + "\n" for t in tokens)
    unknown = total = 0
    with open(GOLDEN_FOLDER + "strings.tsv", "w", encoding="utf-8", newline="\n") as file:
        for data in strings:
            ids = tokenizer.encode(data.decode("utf-8", "replace")).ids
            unknown += ids.count(1)
            total += len(ids)
            file.write(escape(data) + "\t" + " ".join(map(str, ids)) + "\n")
    print(f"{len(strings)} strings, {len(tokens)} tokens, {total} ids, {unknown} unknown")


if __name__ == "__main__":
    verbs = {"tables": write_tables, "golden": write_golden}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        sys.exit("usage: make_tokenizer_golden.py tables|golden")
    verbs[sys.argv[1]]()
