"""Chinese numbers and marks as the original cleaner reads them."""

from __future__ import annotations

import re
import string
import unicodedata

from tutortoietts.text.numerals.zh import DIGITS, cardinal, digits

__all__ = ["expand_chinese", "read_number"]

_NUMBER = r"\d+(?:\.\d+)?"
_MEASURES = "|".join(
    sorted(
        (
            "个 名 本 张 只 条 位 年 月 日 号 天 岁 米 分 秒 点 时 刻 周 次 回 "
            "遍 趟 件 台 辆 架 艘 匹 头 口 峰 棵 株 朵 根 枝 支 把 座 栋 幢 间 "
            "层 楼 户 家 所 块 片 面 幅 副 双 对 套 组 群 队 批 班 排 行 列 串 "
            "束 袋 包 盒 箱 瓶 杯 碗 盘 壶 罐 桶 锅 篮 篇 首 句 段 章 节 页 册 "
            "卷 部 集 场 幕 出 届 期 季 代 辈 世 元 角 毛 币 里 公里 千米 厘米 "
            "毫米 分米 英里 海里 寸 尺 丈 亩 顷 公顷 平方米 立方米 升 毫升 斤 两 钱 "
            "吨 克 千克 公斤 毫克 度 瓦 伏 安 赫 人 道 门 扇 盏 顶 颗 粒 滴 丝 "
            "毫 分钟 小时 钟头 星期 礼拜 月份 周年 世纪 元宝 盎司 磅 例 起 宗 桩 项 "
            "笔 种 样 类 级 等 倍 成"
        ).split(),
        key=len,
        reverse=True,
    )
)
_DATE = re.compile(r"(?<=\D)(?=\d)((?:(?:[089]\d|(?:19|20)\d{2})年)?(?:\d{1,2}月(?:\d{1,2}[日号])?)?)(?<=[年月日号])")
_MONEY = re.compile(rf"(?<=[^\d.])({_NUMBER})(?=[多余几]?(?:(?:亿|千万|百万|万|千|百)[元块]?|[元块角毛分]))")
_MOBILE = re.compile(r"(?<=\D)((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})(?=\D)")
_LAND_LINE = re.compile(r"(?<=\D)((?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7})(?=\D)")
_FRACTION = re.compile(r"(?<!\d)(\d+)/(\d+)")
_PERCENT = re.compile(rf"(?<!\d)({_NUMBER})%")
_COUNTED = re.compile(rf"(?<![\d.])({_NUMBER})(?=[多余几]?(?:{_MEASURES}))")
_LONG = re.compile(r"(?<!\d)\d{4,32}")
_PLAIN = re.compile(rf"(?<!\d){_NUMBER}")
_LETTERS_TWO = re.compile(r"(?<=[A-Za-z])二(?=[A-Za-z])")
_FULL_WIDTH = {chr(ord(char) + 0xFEE0) for char in string.punctuation}


def expand_chinese(text: str) -> str:
    """Return text with its numbers in characters and every mark as a comma; £ and ° stay."""
    text = f"^{text}$"
    text = _DATE.sub(lambda match: _date(match[1]), text)
    text = _MONEY.sub(lambda match: read_number(match[1]), text)
    for pattern in (_MOBILE, _LAND_LINE):
        text = pattern.sub(lambda match: digits(re.sub(r"\D", "", match[1])), text)
    text = _FRACTION.sub(lambda match: f"{read_number(match[2])}分之{read_number(match[1])}", text)
    text = _PERCENT.sub(lambda match: f"百分之{read_number(match[1])}", text)
    text = _COUNTED.sub(lambda match: read_number(match[1]), text)
    text = _LONG.sub(lambda match: digits(match[0]), text)
    text = _PLAIN.sub(lambda match: read_number(match[0]), text)
    text = _LETTERS_TWO.sub("2", text)
    return "".join("," if _is_mark(char) else char for char in text[1:-1])


def read_number(written: str) -> str:
    """Read "12", "007" or "3.14": leading zeros are one 零, digits behind the point are read one by one."""
    whole, _, part = written.partition(".")
    stripped = whole.lstrip("0")
    if not stripped:
        word = DIGITS[0] if part or len(whole) == 1 else ""
    elif len(stripped) > 15:
        word = digits(whole)
    elif len(stripped) < len(whole):
        word = DIGITS[0] + (cardinal(int(stripped)) if len(stripped) != 2 else _tens(int(stripped)))
    else:
        word = cardinal(int(stripped))
    return word + (f"点{digits(part)}" if part else "")


def _tens(n: int) -> str:
    """10 to 99 inside a longer number: 一十."""
    word = cardinal(n)
    return f"一{word}" if n < 20 else word


def _date(written: str) -> str:
    year, mark, rest = written.rpartition("年")
    spoken = f"{digits(year)}{mark}" if mark else ""
    return spoken + re.sub(r"\d+", lambda match: read_number(match[0]), rest)


def _is_mark(char: str) -> bool:
    ascii_mark = char in string.punctuation
    return ascii_mark or char in _FULL_WIDTH or unicodedata.category(char).startswith("P")
