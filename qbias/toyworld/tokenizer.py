"""A byte-level CLIP tokenizer of our own: at most 1,000 tokens, learned from the drawn world's captions.

Ids: 0 is padding, then the 256 bytes, the 256 bytes that end a word, the merges, and last start and end of text. End of
text (EOS) has the highest id and differs from padding, so that both of transformers' pooling rules (the highest id, or the
first EOS) find the same position. All single bytes are there, so no text is ever unknown.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizerFast
from transformers.models.clip.tokenization_clip import bytes_to_unicode

VOCABULARY = 960
CONTEXT = 48
PAD, BOS, EOS, END = "<|pad|>", "<|startoftext|>", "<|endoftext|>", "</w>"
SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def _merges(corpus: Iterable[str], count: int) -> list[tuple[str, str]]:
    """Byte-pair merges learned from `corpus`, most frequent first."""
    learner = Tokenizer(models.BPE(end_of_word_suffix=END, continuing_subword_prefix=""))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 80 + count, end_of_word_suffix=END, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    learner.train_from_iterator(corpus, trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    return [(left, right) for left, right in learned][:count]


def trained_tokenizer(corpus: Iterable[str]) -> CLIPTokenizerFast:
    """A CLIP tokenizer with `VOCABULARY` tokens or fewer, its merges learned from `corpus`."""
    letters = list(bytes_to_unicode().values())
    merges = _merges(corpus, VOCABULARY - 2 * len(letters) - 3)
    tokens = [PAD, *letters, *(letter + END for letter in letters), *(left + right for left, right in merges), BOS, EOS]
    with TemporaryDirectory() as folder:
        vocabulary, rules = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocabulary.write_text(json.dumps({token: i for i, token in enumerate(dict.fromkeys(tokens))}))
        rules.write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
        return CLIPTokenizerFast(
            str(vocabulary), str(rules), unk_token=EOS, bos_token=BOS, eos_token=EOS, pad_token=PAD, model_max_length=CONTEXT
        )
