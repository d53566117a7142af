// Emoji for the picker, in the order in which people look for them. The pictures are the system's own.

export const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🙏"];

export const GROUPS = [
  ["Smileys", "😀 😃 😄 😁 😅 😂 🤣 😊 🙂 😉 😍 😘 😋 😎 🤩 🤔 😐 🙄 😏 😴 😌 😢 😭 😡 😱 🥳 🤗 🤝"],
  ["Hands", "👍 👎 👌 ✌️ 🤞 👏 🙌 🙏 💪 👋 👉 👈 👆 👇 ✅ ❌"],
  ["Hearts", "❤️ 🧡 💛 💚 💙 💜 🖤 💔 💖 💯 🔥 ✨ ⭐ 🎉 🎁 🎂"],
  ["Things", "☕ 🍰 🥐 🍕 🍔 🥗 🍎 🍷 🌷 🌹 🌞 🌧️ 🚗 🚲 ✈️ 🏠 📦 📷 📞 💬 💶 🛒 ⏰ 📍"],
].map(([name, all]) => [name, all.split(" ")]);
