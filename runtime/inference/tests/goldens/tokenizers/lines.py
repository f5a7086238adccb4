"""Writes `lines.txt`: 1,000 lines of mixed scripts, code, emoji, blanks, marks, numbers and control characters.

    python lines.py

The same lines every time. No line holds a line end, a carriage return, or a text that a tokenizer here has as a control token.
"""

import random
import unicodedata
from pathlib import Path

COUNT = 1000

SENTENCES = """
The harbour master counted eleven boats before breakfast, and none of them had paid.
I'm sure you're right; he'd say she'll go, we've been, and they don't mind.
"Don't!" she SAID, 'twas NOT'RE allowed -- it's IT'S I'LL we'Ve.
Der Bäcker müßte größere Brötchen backen, sagte die Königin höflich.
Où est passé l'élève ? Il a mangé des œufs, naïvement, à Noël.
El niño pingüino corrió ¿adónde?, ¡qué lástima!, mañana lloverá.
Příliš žluťoučký kůň úpěl ďábelské ódy na břehu řeky.
Zażółć gęślą jaźń, powiedział chrząszcz w Szczebrzeszynie.
Đường phố Hà Nội buổi sáng thật đông người và xe máy.
Bugün İstanbul'da hava çok güzel, ılık bir rüzgâr esiyor.
Þetta er ekki rétt, sagði Ævar og fór út á sjó.
Съешь ещё этих мягких французских булок, да выпей чаю.
Їжак їсть яблуко під старим дубом у Києві.
Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία κάθε πρωί στην Αθήνα.
Բարեւ ձեզ, ինչպե՞ս եք այսօր այս գեղեցիկ քաղաքում։
გამარჯობა, დღეს კარგი ამინდია თბილისში და ბათუმში.
שלום עולם, הספינה הגיעה לנמל לפני עלות השחר.
בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם
مرحبا بالعالم، وصلت السفينة إلى الميناء قبل الفجر.
السَّلَامُ عَلَيْكُمْ وَرَحْمَةُ اللهِ، العدد ١٢٣٤.
یک کتاب خوب بهترین دوست است؛ می‌خوانم و می‌نویسم.
नमस्ते दुनिया, आज मौसम बहुत अच्छा है और नदी शांत है।
বাংলা ভাষায় লেখা একটি ছোট বাক্য, সংখ্যা ১২৩।
ਸਤ ਸ੍ਰੀ ਅਕਾਲ, ਤੁਸੀਂ ਕਿਵੇਂ ਹੋ?
ગુજરાતી ભાષા સુંદર છે અને સરળ પણ છે.
தமிழ் மொழி மிகவும் பழமையானது, கடல் அமைதியாக உள்ளது.
తెలుగు భాష చాలా తీయనిది, పడవ వచ్చింది.
ಕನ್ನಡ ಭಾಷೆ ಸುಂದರವಾಗಿದೆ ಮತ್ತು ಹಳೆಯದು.
മലയാളം ഒരു ദ്രാവിഡ ഭാഷയാണ്, കടൽ ശാന്തമാണ്.
සිංහල භාෂාව ලස්සනයි, නැව පැමිණියා.
สวัสดีชาวโลก วันนี้อากาศดีมาก เรือมาถึงท่าแล้ว
ພາສາລາວ ງາມຫຼາຍ ແລະ ແມ່ນ້ຳ ສະຫງົບ
မြန်မာဘာသာစကား လှပါသည်။ သင်္ဘောရောက်ပြီ။
ភាសាខ្មែរ ពិរោះណាស់ ទូកមកដល់ហើយ។
བོད་ཀྱི་སྐད་ཡིག་ནི་མཛེས་པོ་ཡོད།
አማርኛ ውብ ቋንቋ ነው፤ መርከቧ ደረሰች።
你好，世界！船在黎明前到达了港口，共有十一艘。
繁體中文與簡體中文混排，標點「符號」也不少……對吧？
日本語のテキストはカタカナとひらがなと漢字が混ざります。
ﾊﾝｶｸ カタカナ と ｆｕｌｌｗｉｄｔｈ　ＡＢＣ１２３！？
안녕하세요 세계, 배가 새벽 전에 항구에 도착했습니다.
한글 자모 결합
𠮷野家で𩸽を食べた𝕳𝖊𝖑𝖑𝖔 𐍈𐌰𐌹 ᚠᚢᚦᚨᚱᚲ
Ⅷ ⅻ ½ ¼ ⅞ x²+y³ ∑∫√∞ ∀x∈ℝ: x² ≥ 0 → ← ↑ ↓
™©® £¥₹₿€ «cité» “quoted” ‘single’ — – … ¿? ¡!
""".strip().split("\n")

CODE = r"""
fn gcd(a: u64, b: u64) -> u64 { if b == 0 { a } else { gcd(b, a % b) } }
let x: Vec<Option<&'static str>> = vec![None; 16]; // don't panic
def f(x, *args, **kw):	return x ** 2 if x >= 0 else -x
for (int i = 0; i < n; ++i) { sum += a[i] * b[n - i - 1]; }
SELECT id, COUNT(*) FROM t WHERE name LIKE 'a%' GROUP BY id HAVING COUNT(*) > 1;
<div class="row" id='main'>&amp; <a href="https://example.org/?q=1&r=2#top">link</a></div>
{"key": [1, 2.5e-3, null, true], "nested": {"a": "\u00e9\n"}}
const sleep = ms => new Promise(r => setTimeout(r, ms)); // ==> !== ===
if err != nil { return fmt.Errorf("open %q: %w", path, err) }
#!/bin/sh -eu; echo "${HOME:-/root}" | sed -e 's/[^a-z]*//g' > /dev/null 2>&1
git commit --amend -m "fix(parser): don't drop trailing ;" && git push -f
C:\Users\me\AppData\Local\Temp\x.tmp \\server\share
\frac{\partial^2 f}{\partial x_i \partial x_j} = \sum_{k=1}^{n} a_{ik}
@@ -12,7 +12,9 @@ def main(): +    print(f"{value!r:>{width}}")
0x1F600 0b1010_0101 1e-9 -1.5E+10 3.14159_f64 0o777 1'000'000 $19.99 50%
::std::vector<std::pair<int, char*>> v{{1, nullptr}}; v.emplace_back(2, "x");
(defun fact (n) (if (<= n 1) 1 (* n (fact (- n 1)))))
main = mapM_ (putStrLn . show) $ filter ((== 0) . (`mod` 3)) [1..100]
	.globl _start	movq $60, %rax	xorq %rdi, %rdi	syscall
__init__.py camelCaseXMLHttpRequest SCREAMING_SNAKE_CASE kebab-case-name iPhone15ProMax
""".strip().split("\n")

EMOJI = [
    "😀", "😀😀😀", "👍🏽", "👩\u200d👩\u200d👧\u200d👦", "👩🏿\u200d🚀", "🏳\ufe0f\u200d🌈", "🇫🇷🇯🇵", "1\ufe0f\u20e3", "❤\ufe0f", "☺", "🦀", "🧑\u200d💻", "🫠",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\u231a", "\u2708\ufe0f", "🤷🏻\u200d♂\ufe0f",
]
BLANKS = [" ", "  ", "   ", "    ", " " * 7, " " * 8, " " * 15, " " * 16, " " * 31, "\t", "\t\t", "\t\t\t\t", " \t", "\t ", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\u202f", "\u1680"]
CONTROLS = ["\x00", "\x01", "\x02", "\x07", "\x08", "\x1b[31m", "\x1b[0m", "\x7f", "\u0080", "\u009f", "\u00ad", "\u200d", "\u200e", "\u202e", "\u2066", "\ufffd", "\ue000", "\U000f0000", "\u0378", "\uffff"]
MARKS = ["cafe\u0301", "A\u030angstro\u0308m", "Z\u0351\u036b\u0343a\u0363\u0349l\u0348g\u0360o\u031a", "\u0301", "a\u0301\u0301\u0301b", "q\u0307\u0323", "q\u0323\u0307", "ﬁ ﬂ ﬀ", "ǅ ʰ ª º", "İI\u0307ıi", "ΑΣ ΟΔΟΣ", "Straße ẞ", "é\u0302", "\u212b \u2126", "한\u1112\u1161\u11ab"]
LOOKALIKES = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<start_of_turn>", "[INST]", "[/INST]", "<0x0A>", "▁Hello", "Ġworld", "##ing", "<|eot_id|>", "[MASK", "< s >", "▁", "<|", "|>"]


def words_of(random_):
    return random_.choice(SENTENCES).split(" ")


def number(random_):
    digits = random_.choice(["0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９"])
    text = "".join(random_.choice(digits) for _ in range(random_.randint(1, 14)))
    return random_.choice(["", "-", "+", "$", "v", "#", " "]) + text + random_.choice(["", ".5", "%", "px", "th", ",000", "e-3"])


def any_character(random_):
    """A character of Unicode 3.2, on whose category all tables agree."""
    while True:
        code = random_.choice([random_.randint(0x20, 0x2FF), random_.randint(0x300, 0x1FFF), random_.randint(0x2000, 0xFFFD), random_.randint(0x10000, 0x2FFFF)])
        character = chr(code)
        old, new = unicodedata.ucd_3_2_0.category(character), unicodedata.category(character)
        if old == new and old not in ("Cn", "Cs", "Cc"):
            return character


def mixture(random_):
    parts = []
    for _ in range(random_.randint(2, 6)):
        kind = random_.randrange(10)
        if kind < 3:
            words = words_of(random_)
            begin = random_.randrange(len(words))
            parts.append(" ".join(words[begin:begin + random_.randint(1, 6)]))
        else:
            parts.append([number, any_character, lambda r: r.choice(EMOJI), lambda r: r.choice(BLANKS), lambda r: r.choice(MARKS), lambda r: r.choice(CODE)[:24], lambda r: r.choice(LOOKALIKES)][kind - 3](random_))
        parts.append(random_.choice([" ", " ", " ", "", "", ", ", "-", random_.choice(BLANKS)]))
    return "".join(parts)


def all_lines():
    random_ = random.Random(20261121)
    lines = ["", *SENTENCES, *CODE, *EMOJI, *BLANKS, *MARKS, *LOOKALIKES]
    lines += [f"a{control}b {control}c" for control in CONTROLS] + CONTROLS
    lines += [f"{blank}x{blank}{blank}y z{blank}" for blank in BLANKS]
    lines += [line.upper() for line in SENTENCES[:12]] + [line.title() for line in SENTENCES[:6]]
    lines += ["a" * 200, "ab" * 90, "=" * 80, "中" * 60, "é" * 50, " " * 120, "1" * 50, "ha" * 40, "." * 33, "の" * 41, "x" * 101 + " y", "\t" * 33, "A" * 64 + "b" * 64]
    while len(lines) < COUNT:
        lines.append(random_.choice([
            lambda: mixture(random_), lambda: mixture(random_), lambda: mixture(random_),
            lambda: " " * random_.randint(0, 12) + random_.choice(CODE),
            lambda: "".join(any_character(random_) for _ in range(random_.randint(1, 24))),
            lambda: " ".join(random_.sample(SENTENCES, 2)),
            lambda: " ".join(number(random_) for _ in range(5)),
            lambda: "".join(random_.choice(EMOJI + [" "]) for _ in range(8)),
        ])())
    return lines[:COUNT]


if __name__ == "__main__":
    lines = all_lines()
    assert len(lines) == COUNT and not any("\n" in line or "\r" in line for line in lines)
    path = Path(__file__).resolve().parent / "lines.txt"
    path.write_bytes("\n".join(lines).encode())
    print(path.stat().st_size, "bytes")
