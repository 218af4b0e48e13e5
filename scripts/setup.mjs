console.log("setup")
